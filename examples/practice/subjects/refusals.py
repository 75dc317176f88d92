"""Questions that no offered tool can answer."""

from __future__ import annotations

from examples.practice.course import Course, Question

_IMPOSSIBLE = (
    "Book a table for two in Vienna tomorrow.", "Send an email to my landlord.", "Who won the match last night?",
    "Order a pizza with mushrooms.", "Play some quiet music.", "What does the hotel by the lake cost a night?",
    "Translate 'good morning' into Finnish.", "Remind me to water the plants.", "What is the weather in Rome now?",
    "Draw a picture of a lighthouse.", "Which film should I watch tonight?", "How much is one share of a steel maker?",
    "Call my sister.", "Show me the fastest way to the airport.", "What is in the news today?",
)  # fmt: skip


def impossible(course: Course) -> Question:
    """A request unrelated to the tools."""
    return Question(course.draw.choice(_IMPOSSIBLE), "None of the tools can do this. I give up.", None)
