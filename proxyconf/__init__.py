"""Keep nginx's configuration in step with what is running."""
