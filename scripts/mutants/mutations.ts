import ts from 'typescript';
import { changesOf, isErased, type Change } from './changes.ts';
import { anchorOf, even, headOf, memberOf, textAround } from './code-around.ts';
import type { Mutant, Place } from './mutant.ts';

/** All places of a source file where one small change makes a mutant, in their order in the file. */
export function placesIn(file: string, text: string): Place[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true);
  const places: Place[] = [];
  const seen = new Map<string, number>();
  const add = ({ node, kind, replacement }: Change): void => {
    const start = node.getStart(source);
    const statement = anchorOf(node);
    const mutant: Omit<Mutant, 'ordinal'> = {
      file,
      member: memberOf(node, source),
      kind,
      statement: headOf(statement, source),
      context: statement.parent === undefined ? '' : headOf(anchorOf(statement.parent), source),
      expression: even(textAround(node, source)),
      original: even(node.getText(source)),
      replacement: even(replacement),
    };
    const key = JSON.stringify(mutant);
    const ordinal = seen.get(key) ?? 0;
    seen.set(key, ordinal + 1);
    const line = source.getLineAndCharacterOfPosition(start).line + 1;
    places.push({ mutant: { ...mutant, ordinal }, start, end: node.getEnd(), line });
  };
  const visit = (node: ts.Node): void => {
    if (isErased(node)) return;
    for (const change of changesOf(node, source)) add(change);
    node.forEachChild(visit);
  };
  visit(source);
  return places;
}

/** The text of the file with the mutant in it. */
export function mutate(text: string, { start, end }: Place, replacement: string): string {
  return text.slice(0, start) + replacement + text.slice(end);
}

/** The text to put in place of what the mutant replaces, with its white space as it is in the file. */
export function replacementFor(text: string, { mutant, start, end }: Place): string {
  return mutant.kind === 'negation' && mutant.replacement.startsWith('!(')
    ? `!(${text.slice(start, end)})`
    : mutant.replacement;
}
