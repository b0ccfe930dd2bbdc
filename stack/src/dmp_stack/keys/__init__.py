"""API keys: the file that knows them, the commands that change it, and what the gateway is told of them.

Needs the standard library only, so that an image of its own can run it beside the gateway.
"""
