"""Template resources as confd has them: their keys, their functions, and what renders them. Pure."""
