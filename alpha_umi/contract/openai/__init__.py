"""Wire models of OpenAI's interfaces, as Open Responses (2026-04-24) and the official client define them."""
