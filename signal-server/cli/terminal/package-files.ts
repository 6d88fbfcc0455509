import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Files that come with the package, wherever it is installed. */
export const defaultModelFolder = fileURLToPath(new URL('../../../models/wren', import.meta.url));
export const builtPageFolder = fileURLToPath(new URL('../../../dist/web', import.meta.url));

export function packageVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
