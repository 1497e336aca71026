"""Whether another task or language helps, and which: sources, advice, mixing, arithmetic,
forgetting, the guard, the study.

All but the guard is about classifiers: a recipe with labelled rows, scored by macro-F1. Translators
transfer through a parent and mixed training files, which their recipe says and their own baselines
measure (`tasks.translation`). `guard` takes adapters of any task.
"""
