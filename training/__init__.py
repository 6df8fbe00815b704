"""How the built-in model is made: from nothing but a renderer, in one command, `python -m training`.

Nothing in the web app imports this package; it is here so that the model can be made again, checked and changed.
"""
