import { readdirSync, readFileSync } from 'node:fs';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { commands } from '../../signal-server/cli/main.ts';

const { scripts, dependencies, devDependencies, name } = JSON.parse(readFileSync('package.json', 'utf8')) as Record<
  'scripts' | 'dependencies' | 'devDependencies',
  Record<string, string>
> & { name: string };

const documents = (folder: string, pattern: RegExp): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => pattern.test(path) && !path.includes('node_modules'))
    .map((path) => `${folder}/${path}`);
/** All that a person reads and may type. */
const pages = [
  ...['README.md', 'CHANGELOG.md', ...documents('docs', /\.md$/), ...documents('models', /\.md$/)],
  ...[...documents('web', /\.(?:svelte|ts)$/), ...documents('signal-server/cli', /\.ts$/)],
];

/** Programs that npm fetches by a name and runs; those that the project installs are in its `node_modules`. */
const installed = new Set([...Object.keys(dependencies), ...Object.keys(devDependencies), 'node']);
const FETCHED =
  /\b(?:npx|npm exec|npm x|pnpm dlx|pnpx|yarn dlx|bunx)((?: +-[^\s`]+(?: +node@\d+)?)*) +(?:-- +)?([@\w][\w@/.-]*)/g;

/** The lines of a page that are in a block of a shell, less its comments and continued over line ends. */
function shellLines(text: string): string[] {
  const blocks = [...text.matchAll(/^```(?:sh|bash|console)?\n([\s\S]*?)^```/gm)].map(([, block]) => block!);
  return blocks
    .flatMap((block) => block.replaceAll('\\\n', ' ').split('\n'))
    .map((line) => line.replace(/ +#.*/, '').trim());
}

/** Calls of the command in a page: in blocks, and in the middle of a sentence. */
function callsIn(text: string): string[] {
  return [...shellLines(text), ...[...text.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!)].flatMap(
    (line) => /(?:^|\| *)node bin\/chorus\.mjs(?: +(.*))?$/.exec(line)?.[1]?.split(/[|>]/)[0] ?? [],
  );
}

describe('documented lines', () => {
  it('run nothing of strangers', () => {
    const foreign = pages.flatMap((page) => {
      const text = readFileSync(page, 'utf8');
      const fetched = [...text.matchAll(FETCHED)].filter(([, options, program]) => {
        return !options!.includes('node@') && !installed.has(program!.replace(/(?<=.)@.*$/, ''));
      });
      // By its bare name, it is whatever program of that name is installed.
      const bare = shellLines(text).filter((line) => /^(?:\$ )?chorus\b/.test(line));
      return [...fetched.map(([line]) => line), ...bare].map((line) => `${page}: ${line}`);
    });
    expect(foreign).toEqual([]);
  });

  it('call commands of ours, with options that these have', async () => {
    const calls = pages.flatMap((page) => callsIn(readFileSync(page, 'utf8')));
    expect(calls.length).toBeGreaterThan(8);
    for (const call of calls) {
      const [word = ''] = call.split(' ');
      if (word.startsWith('-')) continue;
      expect(Object.keys(commands), call).toContain(word);
      const command = new Command(word);
      await commands[word]!.define(command);
      const known = command.options.flatMap(({ long }) => long ?? []);
      expect(known, call).toEqual(
        expect.arrayContaining([...call.matchAll(/(?<= )\[?(--[a-z-]+)/g)].map(([, option]) => option!)),
      );
    }
  });

  it('call scripts that there are', () => {
    const named = pages.flatMap((page) =>
      [...readFileSync(page, 'utf8').matchAll(/\bnpm run ([\w:-]+)/g)].map(([, script]) => script!),
    );
    expect([...new Set(named)].filter((script) => !(script in scripts))).toEqual([]);
  });

  it('name no package of ours that is another one', () => {
    expect(name).not.toBe('chorus');
  });
});
