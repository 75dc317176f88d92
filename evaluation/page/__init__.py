"""Report pages: one self-contained HTML file, Markdown, or terminal output, from the same sections.

`html.render_page` and `markdown.render_markdown` take sections of `blocks`; `terminal` prints blocks; `charts` draws
charts.
"""
