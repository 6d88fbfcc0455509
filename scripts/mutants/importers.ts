import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import ts from 'typescript';

/** Which test files reach which production files by what they import when they run. */
export interface Importers {
  /** The tests that import a file, the narrowest first, at most `most`; where none does, half as many of the nearest. */
  testsOf(file: string, most: number): string[];
}

/** Follows the imports of each test file, types left out; paths are from `root`. */
export function readImporters(root: string, tests: readonly string[]): Importers {
  const imports = new Map<string, readonly string[]>();
  const importsOf = (file: string): readonly string[] => {
    const known = imports.get(file) ?? runtimeImports(root, file);
    imports.set(file, known);
    return known;
  };
  const reached = new Map(tests.map((test) => [test, distances(test, importsOf)]));
  return {
    testsOf(file, most) {
      const ranked = tests
        .flatMap((test) => {
          const steps = reached.get(test)!;
          const distance = steps.get(file);
          return distance === undefined ? [] : [{ test, distance, width: isOwn(test, file) ? 0 : steps.size }];
        })
        // A test that takes in half of the house is slow, and sees less of this file.
        .sort((a, b) => a.distance - b.distance || a.width - b.width || (a.test < b.test ? -1 : 1));
      const direct = ranked.filter(({ distance }) => distance === 1).slice(0, most);
      const chosen = direct.length > 0 ? direct : ranked.slice(0, Math.ceil(most / 2));
      return chosen.map(({ test }) => test);
    },
  };
}

function isOwn(test: string, file: string): boolean {
  return basename(test, '.test.ts') === basename(file, '.ts');
}

function distances(test: string, importsOf: (file: string) => readonly string[]): Map<string, number> {
  const steps = new Map([[test, 0]]);
  // A map goes on over what is added to it meanwhile.
  for (const [file, step] of steps) {
    for (const next of importsOf(file)) if (!steps.has(next)) steps.set(next, step + 1);
  }
  return steps;
}

function runtimeImports(root: string, file: string): string[] {
  const source = ts.createSourceFile(file, readFileSync(join(root, file), 'utf8'), ts.ScriptTarget.ES2023, true);
  const names: string[] = [];
  const visit = (node: ts.Node): void => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && !isTypeOnly(node)) {
      const { moduleSpecifier } = node;
      if (moduleSpecifier !== undefined && ts.isStringLiteral(moduleSpecifier)) names.push(moduleSpecifier.text);
    }
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [name] = node.arguments;
      if (name !== undefined && ts.isStringLiteral(name)) names.push(name.text);
    }
    node.forEachChild(visit);
  };
  visit(source);
  return names.flatMap((name) => {
    const path = name.startsWith('#') ? name.slice(1) : normalize(join(dirname(file), name));
    const isFile = (name.startsWith('.') || name.startsWith('#')) && path.endsWith('.ts');
    return isFile && existsSync(join(root, path)) ? [path] : [];
  });
}

function isTypeOnly(node: ts.ImportDeclaration | ts.ExportDeclaration): boolean {
  if (ts.isExportDeclaration(node)) return node.isTypeOnly;
  const { importClause } = node;
  if (importClause === undefined) return false;
  if (importClause.isTypeOnly) return true;
  const { name, namedBindings } = importClause;
  if (name !== undefined || namedBindings === undefined || !ts.isNamedImports(namedBindings)) return false;
  return namedBindings.elements.every((element) => element.isTypeOnly);
}
