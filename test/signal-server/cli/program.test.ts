import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const program = fileURLToPath(new URL('../../../bin/chorus.mjs', import.meta.url));

let folder: string;
beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), 'chorus-program-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs `chorus serve` after `code`, which prepares the process that it finds. */
function serveAfter(code: string): Promise<{ code: number | null; signal: string | null; err: string }> {
  const preload = `data:text/javascript,${encodeURIComponent(code)}`;
  const args = ['--import', preload, program, 'serve', '--port', '0', '--data', join(folder, 'data')];
  return new Promise((resolve) => {
    const child = execFile(process.execPath, args, { timeout: 60_000 }, (_, _out, err) => {
      resolve({ code: child.exitCode, signal: child.signalCode, err });
    });
  });
}

const asNode = (version: string): string =>
  `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`;

/** Sends itself the signal as soon as somebody listens to it. */
const signalled = (signal: string): string => `
  const { on } = process;
  process.on = function (name, ...given) {
    if (name === '${signal}') setImmediate(() => process.kill(process.pid, name));
    return on.call(this, name, ...given);
  };`;

describe('the program, before anything of it is loaded', () => {
  it.each(['8.17.0', '18.20.8', '20.18.3'])('says that Node %s is too old, and makes nothing', async (version) => {
    const { code, err } = await serveAfter(asNode(version));
    const sentence = `chorus: Node ${version} is too old; at least 20.19 is needed. Install a newer one: https://nodejs.org\n`;
    expect([code, err]).toEqual([2, sentence]);
    expect(await readdir(folder)).toEqual([]);
  });

  it('says why what loads it could not be started, and makes nothing', async () => {
    const { code, err } = await serveAfter(`
      const { on } = process;
      process.on = function (name, ...given) {
        const fail = () => { throw Object.assign(new Error('EMFILE: spawn'), { code: 'EMFILE' }); };
        if (name === 'uncaughtException') setImmediate(fail);
        return on.call(this, name, ...given);
      };`);
    const sentence = 'chorus: the program cannot be loaded: EMFILE: spawn. Raise the limit of open files (ulimit -n)\n';
    expect([code, err]).toEqual([2, sentence]);
    expect(await readdir(folder)).toEqual([]);
  });

  // By its own exit, which is what counts for the first process of a container: nothing else ends that one.
  it.each([
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ])('ends at %s, and makes nothing', async (name, status) => {
    expect(await serveAfter(signalled(name))).toEqual({ code: status, signal: null, err: '' });
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('the program, where it runs in a strange place', () => {
  it('says that the current folder is gone', async () => {
    const gone = join(folder, 'gone');
    await mkdir(gone);
    const script = `process.chdir(${JSON.stringify(gone)}); require('fs').rmdirSync(${JSON.stringify(gone)}); import(${JSON.stringify(program)})`;
    const [code, err] = await outcomeOf(spawn(process.execPath, ['-e', script]));
    expect([code, err]).toEqual([2, 'chorus: the current folder is not there any more. Change to another one.\n']);
  });

  it('ends without a word where the reader of its output is gone', async () => {
    const child = spawn(process.execPath, [program, '--help']);
    child.stdout.destroy();
    expect(await outcomeOf(child)).toEqual([141, '']);
  });
});

async function outcomeOf(child: ReturnType<typeof spawn>): Promise<[number | null, string]> {
  let err = '';
  child.stderr?.on('data', (data: Buffer) => (err += data.toString()));
  await once(child, 'close');
  return [child.exitCode, err];
}
