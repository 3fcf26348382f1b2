"""What `import dbp` offers: the stages behind a few verbs, objects in and objects out.

The modules below hold no method of their own: they check what a user hands in, call a stage, and
give back its result. The command line calls the same functions.
"""
