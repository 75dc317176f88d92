"""The process supervisor behind `up`, `down` and `demo`: services on this machine, their state folder and models."""
