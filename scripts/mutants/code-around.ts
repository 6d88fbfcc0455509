import ts from 'typescript';

function isAnchor(node: ts.Node): boolean {
  return (
    (ts.isStatement(node) && !ts.isBlock(node)) ||
    ts.isPropertyAssignment(node) ||
    ts.isPropertyDeclaration(node) ||
    ts.isClassElement(node) ||
    ts.isSourceFile(node)
  );
}

/** The nearest statement, property or member of a class that a node is part of. */
export function anchorOf(node: ts.Node): ts.Node {
  let at = node;
  while (!isAnchor(at)) at = at.parent;
  return at;
}

/** The text of a statement without the statements and properties inside it. */
export function headOf(anchor: ts.Node, source: ts.SourceFile): string {
  if (ts.isSourceFile(anchor)) return '';
  const inner: ts.Node[] = [];
  const collect = (node: ts.Node): void => {
    if (isAnchor(node)) inner.push(node);
    else node.forEachChild(collect);
  };
  anchor.forEachChild(collect);
  let head = '';
  let at = anchor.getStart(source);
  for (const node of inner) {
    head += source.text.slice(at, node.getStart(source));
    at = node.getEnd();
  }
  return even(head + source.text.slice(at, anchor.getEnd()));
}

/** The smallest expression with more in it than what is replaced. */
export function textAround(node: ts.Node, source: ts.SourceFile): string {
  if (ts.isStatement(node) || isAnchor(node.parent)) return headOf(anchorOf(node), source);
  return node.parent.getText(source);
}

/** Comments are left out, and white space and trailing commas, which differ by how lines are broken, made even. */
export function even(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/[^\n]*/g, ' ')
    .replace(/\s+/g, ' ')
    .replace(/,? ?([)\]}])/g, '$1')
    .replace(/([([{]) /g, '$1')
    .trim();
}

/** Names of the enclosing classes, functions and variables, the outermost first. */
export function memberOf(node: ts.Node, source: ts.SourceFile): string {
  const names: string[] = [];
  for (let at = node.parent; at !== undefined; at = at.parent) {
    const name = nameOf(at, source);
    if (name !== null) names.unshift(name);
  }
  return names.join('.');
}

function nameOf(node: ts.Node, source: ts.SourceFile): string | null {
  if (ts.isConstructorDeclaration(node)) return 'constructor';
  if (
    ts.isFunctionLike(node) ||
    ts.isClassLike(node) ||
    ts.isPropertyDeclaration(node) ||
    ts.isVariableDeclaration(node)
  )
    return node.name?.getText(source) ?? null;
  return null;
}
