"""Figures with intervals, tables, plots and pages."""
