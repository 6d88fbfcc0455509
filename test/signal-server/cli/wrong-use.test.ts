import { once } from 'node:events';
import { mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callChorus } from '../../support/command.ts';

let folder: string;
const at = (...names: string[]) => join(folder, ...names);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chorus-use-'));
  await writeFile(at('file'), '');
  await symlink(at('nowhere'), at('dangling'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const asking = (...more: string[]) => ['ask', 'Why?', '--server', 'http://127.0.0.1:1', ...more];
const serving = (...more: string[]) => ['serve', '--port', '0', '--host', '127.0.0.1', ...more];

describe('a command that is called wrongly', () => {
  it.each<[string, () => string[], RegExp]>([
    [
      'no command has the name',
      () => ['frobnicate'],
      /unknown command 'frobnicate'[\s\S]*chorus --help lists the commands/,
    ],
    ['a name is nearly right', () => ['ak', 'Why?'], /unknown command 'ak'[\s\S]*Did you mean ask\?/],
    ['there is no such option', () => ['--prot', '80'], /unknown option '--prot'[\s\S]*--port/],
    ['there is more than it takes', () => ['serve', 'now'], /too many arguments/],
    ['a question is empty', () => ['ask', ''], /the prompt is empty: say what to ask/],
    ['a question is only spaces', () => ['ask', ' \n'], /the prompt is empty/],
    [
      'a receipt goes into no folder',
      () => asking('--receipt', at('none', 'r.json')),
      /--receipt .* cannot be written: there is no such/,
    ],
    ['a receipt goes under a file', () => asking('--receipt', at('file', 'r.json')), /--receipt .* cannot be written/],
    ['a receipt would be a folder', () => asking('--receipt', folder), /--receipt .* is a folder\. Name a file/],
    [
      'a receipt would be where nothing can be made',
      () => asking('--receipt', '/proc/r.json'),
      /--receipt .* cannot be written/,
    ],
    ['a receipt has no name', () => asking('--receipt', ''), /^chorus: --receipt has no value\n$/],
    ['secrets go nowhere', () => asking('--secrets', at('none', 's.json')), /--secrets .* cannot be written/],
    ['a port is none', () => ['serve', '--port', 'http'], /--port 'http': must be a number/],
    ['a port is too high', () => ['serve', '--port', '70000'], /--port '70000': too large; at most 65535/],
    ['a port is empty', () => ['serve', '--port', ''], /--port has no value/],
    ['a count is negative', () => ['serve', '--anchors', '-1'], /--anchors '-1': too small; at least 0/],
    ['work is less than none', () => ['serve', '--admission-work', '-1'], /--admission-work '-1': too small/],
    ['a count is half', () => ['--anchors', '1.5'], /--anchors '1.5': must be a whole number/],
    ['a level is unknown', () => ['serve', '--log-level', 'loud'], /--log-level 'loud': must be "fatal" or "error"/],
    [
      'data are under a file',
      () => serving('--data', at('file', 'data')),
      /cannot be used: .*file is a file, not a folder\. Name another with --data/,
    ],
    [
      'a host is none, as some shells set one',
      () => ['serve', '--port', '0', '--host', 'no.such.invalid'],
      /no address "no\.such\.invalid", which --host says, or HOST in the environment/,
    ],
    ['a backup has no name', () => ['backup', '', '--data', folder], /^chorus: <folder> is empty\n$/],
    ['a backup is of a file', () => ['backup', at('new'), '--data', at('file')], /file is no data folder of a server/],
    [
      'a volunteer’s data are a file',
      () => ['volunteer', '--data', at('file')],
      /cannot be used: .*file is a file, not a folder/,
    ],
    [
      'a volunteer’s data are a link to nowhere',
      () => ['volunteer', '--data', at('dangling')],
      /dangling is a link to what is not there/,
    ],
    ['data are a file', () => serving('--data', at('file')), /cannot be used: .*file is a file, not a folder/],
    [
      'data are a link to nowhere',
      () => serving('--data', at('dangling')),
      /cannot be used: .*dangling is a link to what is not there/,
    ],
    ['data are under such a link', () => serving('--data', at('dangling', 'data')), /is a link to what is not there/],
    [
      'data are where no folder can be',
      () => serving('--data', '/proc/chorus/data'),
      /the data folder \/proc\/chorus\/data cannot be used: /,
    ],
  ])('ends at once with a sentence and status 2 where %s', async (_why, args, words) => {
    const { code, out, err } = await callChorus(...args());
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(words);
    expect(err).not.toMatch(/\n\s+at /);
  });

  it('names the variable that a wrong value came from', async () => {
    const { PORT } = process.env;
    process.env['PORT'] = 'none';
    try {
      const { code, err } = await callChorus('serve');
      expect([code, err]).toEqual([2, "chorus: PORT 'none': must be a number\n"]);
    } finally {
      if (PORT === undefined) delete process.env['PORT'];
      else process.env['PORT'] = PORT;
    }
  });
});

describe('a command that fails', () => {
  it('leaves no file where it looked whether one can be written, and no data folder for a model that is none', async () => {
    const before = await readdir(folder);
    await callChorus(...asking('--receipt', at('new.json'), '--secrets', at('dangling')));
    expect((await callChorus('import-model', at('none'), '--data', at('new'))).err).toMatch(/there is no folder/);
    expect(await readdir(folder)).toEqual(before);
  });

  it('says of bytes that are no text that they are none', async () => {
    await writeFile(at('bytes'), Uint8Array.of(0x7b, 0xff));
    const { code, err } = await callChorus('verify', at('bytes'));
    expect([code, err]).toEqual([1, `chorus: ${at('bytes')} cannot be read: it is no text in UTF-8\n`]);
  });

  it('says that a port is in use before it touches the data folder', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const data = at('unused');
    const { code, err } = await callChorus('serve', '--port', String(port), '--host', '127.0.0.1', '--data', data);
    other.close();
    expect([code, err]).toEqual([1, `chorus: port ${port} is in use: choose another with --port\n`]);
    expect(await readdir(folder)).not.toContain('unused');
  });

  it.each([
    ['ask', () => asking()],
    ['volunteer', () => ['volunteer', '--server', 'http://127.0.0.1:1', '--data', at('volunteer')]],
  ])('says where nobody answers what to do: %s', async (_name, args) => {
    const { code, err } = await callChorus(...args());
    expect(code).toBe(1);
    expect(err).toMatch(/127\.0\.0\.1:1.*Start a server there .*or name another with --server\.\n$/);
    expect(err).not.toMatch(/\n\s+at /);
  });

  it('says of a file that is not there that it is not', async () => {
    const { code, err } = await callChorus('import-model', folder, '--signer', at('none.pub'), '--data', at('data'));
    expect([code, err]).toEqual([1, `chorus: ${at('none.pub')}: there is no such file or folder\n`]);
  });
});

describe('chorus --help', () => {
  it.each([[['--help']], [['help']]])('lists every command: %j', async (args) => {
    const { code, out } = await callChorus(...args);
    expect(code).toBe(0);
    for (const name of [
      'serve',
      'ask',
      'volunteer',
      'verify',
      'backup',
      'restore',
      'witness',
      'import-model',
      'sign-model',
      'verify-model',
    ])
      expect(out).toMatch(new RegExp(`^  ${name}\\b`, 'm'));
  });

  it.each([[['help', 'ask']], [['ask', '--help']]])('tells the options of one: %j', async (args) => {
    const { code, out } = await callChorus(...args);
    expect([code, out.includes('--max-tokens <count>')]).toEqual([0, true]);
  });
});
