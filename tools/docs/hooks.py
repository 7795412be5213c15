"""What mkdocs calls while it builds the site: markers in pages are replaced by what the code says at that moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import site_markers
import site_readmes

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with its markers replaced; parts of READMEs come first, for they may have markers of their own."""
    del config, files
    return site_markers.generate(site_readmes.include(markdown, page.file.src_uri), page.file.src_uri)
