/** How a translation takes the place of a text node: browsers differ. */
export type Placing = 'replaced' | 'beside, then removed';

/**
 * Translates a page as browsers do: each text goes into elements of the translation's own, in brackets here, and so does
 * what comes or changes later. Returns a function that shows the original again.
 */
export function translate(root: HTMLElement, placing: Placing = 'replaced'): () => void {
  const originals = new Map<Element, Text>();
  const isLeftAlone = ({ parentElement }: Node): boolean =>
    parentElement === null ||
    parentElement.closest('[translate=no], script, style, textarea, font[data-translated]') !== null;

  function one(node: Text): void {
    if (node.data.trim() === '' || node.parentNode === null || isLeftAlone(node)) return;
    const outer = document.createElement('font');
    outer.dataset['translated'] = '';
    outer.append(`‹${node.data}›`);
    originals.set(outer, node);
    if (placing === 'replaced') node.replaceWith(outer);
    else {
      node.after(outer);
      node.remove();
    }
  }
  function all(from: Node): void {
    const walker = document.createTreeWalker(from, NodeFilter.SHOW_TEXT);
    const nodes: Text[] = [];
    while (walker.nextNode()) nodes.push(walker.currentNode as Text);
    nodes.forEach(one);
  }
  const observer = new MutationObserver((records) => {
    for (const { type, target, addedNodes } of records) {
      if (type === 'characterData') one(target as Text);
      for (const node of addedNodes) {
        if (node instanceof Text) one(node);
        else all(node);
      }
    }
  });
  all(root);
  observer.observe(root, { childList: true, characterData: true, subtree: true });
  return () => {
    observer.disconnect();
    for (const [shown, node] of originals) if (shown.isConnected) shown.replaceWith(node);
  };
}
