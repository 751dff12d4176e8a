"""How Sphinx makes the site. Everything a page loads lies in static/ beside this file, or comes with the theme."""
project = "Metrized deep learning"
author = "The Metrized authors"
project_copyright = "The Metrized authors. Code: MIT; prose: CC BY 4.0"
language = "en"
highlight_language = "none"

extensions = ["myst_nb", "sphinx.ext.githubpages"]
exclude_patterns = ["static"]
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "off"
nb_merge_streams = True
nb_output_stderr = "remove"
nb_mime_priority_overrides = [("html", "image/png", 1), ("html", "text/markdown", 2)]
nb_code_prompt_show, nb_code_prompt_hide = "Show the answer", "Hide the answer"

mathjax_path = "mathjax/tex-chtml-full.js"

html_theme = "sphinx_book_theme"
html_title = project
html_logo = html_favicon = "static/balls.svg"
html_static_path = ["static"]
html_css_files = ["course.css"]
html_js_files = [("course.js", {"defer": "defer"})]
html_use_index = False
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is
html_theme_options = {
    "use_repository_button": True,
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "logo": {"text": project},
    "navbar_persistent": [],
    "search_bar_text": "Search",
    "show_toc_level": 2,
}
