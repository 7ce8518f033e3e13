"""The GooseJob as data: its spec, its status, a run of it, and the names all sides agree on.

Everything here is pydantic and the standard library only, so that a workflow may import it.
"""
