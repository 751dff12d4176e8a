// What is found is quoted from the article of a page, not from the buttons above it.
if (typeof Search !== "undefined") {
  const words = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const article = new DOMParser().parseFromString(html, "text/html").querySelector("article.bd-article");
    return words(article ? `<div role="main">${article.outerHTML}</div>` : html, anchor).trim();
  };
}
