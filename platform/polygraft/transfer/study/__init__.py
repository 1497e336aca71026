"""The transfer study: every strategy on many languages, its runs, its figures and its page, by one
command."""
