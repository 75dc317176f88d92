"""Pages of figures: one self-contained HTML file, or Markdown, from the same sections.

`page.render_page` and `markdown.render_markdown` take sections of `blocks`; `charts` draws what stands in them.
"""
