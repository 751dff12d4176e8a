// What is found is quoted from the article of a page, not from the buttons above it.
if (typeof Search !== "undefined") {
  const words = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const article = new DOMParser().parseFromString(html, "text/html").querySelector("article.bd-article");
    return words(article ? `<div role="main">${article.outerHTML}</div>` : html, anchor).trim();
  };
}

// A page of plain files cannot start Python in the browser: a link that would is text there.
if (location.protocol === "file:") {
  for (const link of document.querySelectorAll("a.here")) {
    link.replaceWith(`${link.textContent} (once this site is on a web server)`);
  }
}
