"""Why a host is, or is not, routed: everything between what a source said and what nginx serves. Pure."""
