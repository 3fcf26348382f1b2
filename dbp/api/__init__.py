"""The functions behind `import dbp`: a few verbs over the stages, objects in and objects out.

They check what a user hands in, call a stage, and return its result. The command line calls the
same stages, and `prove` and `simulate` from here; it adds run folders, messages and exit statuses.
"""
