"""The program that measures; a device runs the folder: see ``__main__.py``."""
