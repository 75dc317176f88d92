"""The caller service: one call of an offered tool, with arguments that its schema allows."""
