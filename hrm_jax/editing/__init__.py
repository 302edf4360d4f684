"""What an editor's language server does: fits, shapes and asks for suggestions; without jax."""
