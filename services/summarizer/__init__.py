"""The summarizer service: the answer for the user."""
