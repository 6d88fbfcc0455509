/**
 * Lets the page's code go on writing into its text nodes while the browser translates the page. A translation puts an
 * element in the place of each text node, so that what is written into the node, or done to it, would never be seen. Here
 * the node goes back, empty, before its translation: when it is written, the translation goes and the browser makes a new
 * one; when it is removed, the translation goes with it. Returns a function that ends this.
 */
export function surviveTranslation(root: Node): () => void {
  /** Of a node: its translation, and what it said. */
  const translations = new WeakMap<Text, { readonly shown: Element; readonly text: string }>();
  const nodes = new WeakMap<Element, Text>();

  function onRecords(records: readonly MutationRecord[]): void {
    for (const [i, record] of records.entries()) {
      if (record.type === 'characterData') {
        onWritten(record.target);
        continue;
      }
      for (const removed of record.removedNodes) {
        if (removed instanceof Text) onTextGone(removed, record, records.slice(i + 1));
        else if (removed instanceof Element) onTranslationGone(removed);
      }
    }
  }

  function onWritten(node: Node): void {
    if (node instanceof Text) forget(node)?.shown.remove();
  }

  function onTextGone(node: Text, record: MutationRecord, later: readonly MutationRecord[]): void {
    const before = forget(node);
    if (before !== null) {
      before.shown.remove();
      // It was moved.
      if (node.isConnected) node.data = before.text;
      return;
    }
    const shown = node.isConnected ? undefined : translationIn(record);
    if (shown === undefined) return;
    shown.before(node);
    // Whoever wrote into it meanwhile did not see it go.
    if (later.some(({ type, target }) => type === 'characterData' && target === node)) return shown.remove();
    translations.set(node, { shown, text: node.data });
    nodes.set(shown, node);
    node.data = '';
  }

  /** The translation was taken back. */
  function onTranslationGone(shown: Element): void {
    const node = nodes.get(shown);
    if (node === undefined || translations.get(node)?.shown !== shown) return;
    const before = forget(node);
    if (before !== null && node.isConnected) node.data = before.text;
  }

  function forget(node: Text): { readonly shown: Element; readonly text: string } | null {
    const before = translations.get(node) ?? null;
    translations.delete(node);
    return before;
  }

  const observer = new MutationObserver((records) => {
    onRecords(records);
    // What was done here is no news.
    observer.takeRecords();
  });
  observer.observe(root, { childList: true, characterData: true, subtree: true });
  return () => observer.disconnect();
}

/** The element that took the place of a text node, at once or beside it first; undefined where none did. */
function translationIn({ addedNodes, previousSibling, nextSibling }: MutationRecord): Element | undefined {
  const put = [...addedNodes].find((node) => node instanceof Element);
  const beside = [previousSibling, nextSibling].find((node) => node instanceof Element && node.localName === 'font');
  const shown = put ?? beside;
  return shown instanceof Element && shown.isConnected ? shown : undefined;
}
