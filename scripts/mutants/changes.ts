import ts from 'typescript';
import type { Kind } from './mutant.ts';

type Swaps = ReadonlyMap<string, string>;

const boundaries: Swaps = new Map(Object.entries({ '<': '<=', '<=': '<', '>': '>=', '>=': '>' }));
const comparisons: Swaps = new Map(
  Object.entries({
    '===': '!==',
    '!==': '===',
    '<': '>=',
    '<=': '>',
    '>': '<=',
    '>=': '<',
  }),
);
const logic: Swaps = new Map(Object.entries({ '&&': '||', '||': '&&', '??': '&&' }));
const arithmetic: Swaps = new Map(
  Object.entries({
    '+': '-',
    '-': '+',
    '*': '/',
    '/': '*',
    '%': '*',
    '**': '*',
    '+=': '-=',
    '-=': '+=',
    '<<': '>>',
    '>>': '<<',
    '>>>': '<<',
    '&': '|',
    '|': '&',
    '^': '&',
  }),
);
const calls: Swaps = new Map(Object.entries({ some: 'every', every: 'some', min: 'max', max: 'min' }));

/** One node, and the text to put in its place. */
export interface Change {
  readonly node: ts.Node;
  readonly kind: Kind;
  readonly replacement: string;
}

/** True for what is not there when the code runs. */
export function isErased(node: ts.Node): boolean {
  return (
    ts.isImportDeclaration(node) ||
    ts.isExportDeclaration(node) ||
    ts.isInterfaceDeclaration(node) ||
    ts.isTypeAliasDeclaration(node) ||
    ts.isTypeNode(node)
  );
}

/** The small faults that this node itself can have. */
export function changesOf(node: ts.Node, source: ts.SourceFile): Change[] {
  if (ts.isBinaryExpression(node)) return ofBinary(node, source);
  if (ts.isPrefixUnaryExpression(node)) return ofPrefix(node, source);
  if (ts.isIfStatement(node)) return [negation(node.expression, source)];
  if (ts.isConditionalExpression(node)) return [negation(node.condition, source)];
  if (ts.isNumericLiteral(node)) return ofNumber(node);
  if (node.kind === ts.SyntaxKind.TrueKeyword) return [{ node, kind: 'boolean', replacement: 'false' }];
  if (node.kind === ts.SyntaxKind.FalseKeyword) return [{ node, kind: 'boolean', replacement: 'true' }];
  if (ts.isStringLiteralLike(node)) return ofString(node);
  if (ts.isArrayLiteralExpression(node)) return ofArray(node);
  if (ts.isPropertyAccessExpression(node)) return ofCallee(node);
  return isRemovable(node) ? [{ node, kind: 'removal', replacement: ';' }] : [];
}

function ofBinary({ operatorToken: node, left, right }: ts.BinaryExpression, source: ts.SourceFile): Change[] {
  const operator = node.getText(source);
  const isText = [left, right].some((side) => ts.isStringLiteralLike(side) || ts.isTemplateExpression(side));
  const tables: [Kind, Swaps][] = [
    ['boundary', boundaries],
    ['comparison', comparisons],
    ['logic', logic],
    ['arithmetic', isText ? new Map() : arithmetic],
  ];
  return tables.flatMap(([kind, table]) => {
    const replacement = table.get(operator);
    return replacement === undefined ? [] : [{ node, kind, replacement }];
  });
}

function ofPrefix(node: ts.PrefixUnaryExpression, source: ts.SourceFile): Change[] {
  const operand = node.operand.getText(source);
  if (node.operator === ts.SyntaxKind.ExclamationToken) return [{ node, kind: 'negation', replacement: operand }];
  if (node.operator === ts.SyntaxKind.MinusToken) return [{ node, kind: 'arithmetic', replacement: operand }];
  return [];
}

function negation(node: ts.Expression, source: ts.SourceFile): Change {
  return { node, kind: 'negation', replacement: `!(${node.getText(source)})` };
}

function ofNumber(node: ts.NumericLiteral): Change[] {
  if (isName(node)) return [];
  const value = Number(node.text);
  return [{ node, kind: 'number', replacement: String(value === 1 ? 0 : value + 1) }];
}

function ofString(node: ts.StringLiteralLike): Change[] {
  const isImport = ts.isCallExpression(node.parent) && node.parent.expression.kind === ts.SyntaxKind.ImportKeyword;
  return node.text === '' || isName(node) || isImport ? [] : [{ node, kind: 'string', replacement: `''` }];
}

/** True for the key of a property. */
function isName(node: ts.Node): boolean {
  const { parent } = node;
  return (ts.isPropertyAssignment(parent) || ts.isPropertyDeclaration(parent)) && parent.name === node;
}

function ofArray(node: ts.ArrayLiteralExpression): Change[] {
  const { parent } = node;
  const isTarget = (ts.isBinaryExpression(parent) && parent.left === node) || ts.isForOfStatement(parent);
  return isTarget || node.elements.length === 0 ? [] : [{ node, kind: 'list', replacement: '[]' }];
}

function ofCallee({ name: node, parent }: ts.PropertyAccessExpression): Change[] {
  const replacement = calls.get(node.text);
  const isCalled = ts.isCallExpression(parent) && parent.expression === node.parent;
  return replacement === undefined || !isCalled ? [] : [{ node, kind: 'call', replacement }];
}

/** Calls and assignments for their effect, and what leaves early. */
function isRemovable(node: ts.Node): boolean {
  if (ts.isExpressionStatement(node)) {
    const { expression } = node;
    return !(ts.isCallExpression(expression) && expression.expression.kind === ts.SyntaxKind.SuperKeyword);
  }
  if (ts.isThrowStatement(node) || ts.isContinueStatement(node)) return true;
  if (!ts.isReturnStatement(node)) return false;
  const isLast =
    ts.isBlock(node.parent) && node.parent.statements.at(-1) === node && !ts.isIfStatement(node.parent.parent);
  return !isLast;
}
