import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { openKeyFile } from '../../../signal-server/machine/key-file.ts';
import { startAnchoredServer, type AnchoredServer } from '../../support/anchored-server.ts';
import { runChorus } from '../../support/chorus-process.ts';
import { callChorus } from '../../support/command.ts';
import { isThorough } from '../../support/effort.ts';
import { checkpointNote } from '../../support/signed-notes.ts';

const repository = fileURLToPath(new URL('../../../', import.meta.url));
const waitMs = 60_000;

interface Command {
  readonly child: ChildProcess;
  readonly output: { out: string; err: string };
  readonly exitCode: Promise<number | null>;
}

const running = new Set<ChildProcess>();

function chorus(...args: string[]): Command {
  const child = spawn(process.execPath, ['bin/chorus.mjs', ...args], {
    cwd: repository,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const output = { out: '', err: '' };
  child.stdout.on('data', (data: Buffer) => (output.out += data.toString()));
  child.stderr.on('data', (data: Buffer) => (output.err += data.toString()));
  const exitCode = once(child, 'close').then(([code]) => {
    running.delete(child);
    return code as number | null;
  });
  return { child, output, exitCode };
}

let server: AnchoredServer;
let folder: string;
beforeAll(async () => {
  server = await startAnchoredServer(0);
  folder = await mkdtemp(join(tmpdir(), 'chorus-cli-'));
  vi.stubEnv('CHORUS_MEMORY', join(folder, 'memory'));
}, waitMs);
afterEach(() => running.forEach((child) => child.kill('SIGKILL')));
afterAll(async () => {
  vi.unstubAllEnvs();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const volunteer = (name: string) =>
  chorus('volunteer', '--server', server.url, '--name', name, '--data', join(folder, name));
const asking = (...args: string[]) => ['ask', 'What is the capital of France?', '--server', server.url, ...args];
const ask = (...args: string[]) => (isThorough ? runChorus(asking(...args)) : callChorus(...asking(...args)));
const readyCount = () => server.server.snapshot().volunteers.filter(({ state }) => state === 'ready').length;

/** Where somebody listened a moment ago. */
async function emptyAddress(): Promise<string> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  listener.close();
  await once(listener, 'close');
  return `http://127.0.0.1:${port}`;
}

describe('chorus ask and chorus volunteer', { timeout: 3 * waitMs }, () => {
  it('answer with two volunteers of their own, say who did it, and leave when interrupted', async () => {
    const volunteers = [volunteer('one'), volunteer('two')];
    await vi.waitFor(() => expect(readyCount()).toBe(2), { timeout: waitMs, interval: 200 });

    const [receipt, secrets] = [join(folder, 'receipt.json'), join(folder, 'secrets.json')];
    const asked = chorus(...asking('--route', '--receipt', receipt, '--secrets', secrets));
    expect(await asked.exitCode).toBe(0);
    expect(asked.output.out).toBe('The capital of France is Paris.\n');
    expect(asked.output.err).toMatch(/^session [0-9a-f]{8}, 2 stages:/);
    expect(asked.output.err).toMatch(/first token after \d+ ms/);
    expect(asked.output.err).toMatch(/\n2 volunteers could read this prompt, and so could the server, whose relay /);
    expect(asked.output.err).toMatch(/\nreceipt [0-9a-f]{64}, entry \d+ of \S+\n$/);

    const answer = join(folder, 'answer.txt');
    const policy = join(folder, 'policy.txt');
    await writeFile(answer, asked.output.out);
    await writeFile(policy, `log ${server.transparencyLog.verifierKey}\nquorum none\n`);
    const verified = await callChorus('verify', receipt, '--answer', answer, '--secrets', secrets, '--policy', policy);
    expect([verified.code, verified.err]).toEqual([0, '']);
    expect(verified.out).toMatch(/ok +log-signature/);
    expect((await stat(secrets)).mode & 0o777).toBe(0o600);

    // A log that had signed more than it shows now is no log to rely on; the answer is there all the same.
    const more = { origin: server.transparencyLog.status.origin, size: 99, root: new Uint8Array(32) };
    const logKey = await openKeyFile(join(server.dataFolder.path, 'log.key'));
    const memory = join(folder, 'memory', (await readdir(join(folder, 'memory')))[0]!);
    const remembered = JSON.parse(await readFile(memory, 'utf8')) as object;
    await writeFile(memory, JSON.stringify({ ...remembered, heads: [await checkpointNote(logKey, more)] }));
    const alarmed = await ask();
    expect([alarmed.code, alarmed.out]).toEqual([1, 'The capital of France is Paris.\n']);
    expect(alarmed.err).toMatch(/\nlog: The log shows \d+ entries, but it had signed 99 entries before\./);
    const unasked = await ask('--no-remember', '--json');
    expect([unasked.code, unasked.err.match(/^log: /m)]).toEqual([0, null]);
    expect(JSON.parse(unasked.out)).toMatchObject({
      ...{ answer: 'The capital of France is Paris.', tier: 'unchecked', readers: 2 },
      receipt: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    });

    volunteers.forEach(({ child }) => child.kill('SIGINT'));
    expect(await Promise.all(volunteers.map(({ exitCode }) => exitCode))).toEqual([0, 0]);
    for (const { output } of volunteers) {
      expect(output.out).toMatch(/serving (embedding|layers)/);
      expect(output.out).toMatch(/left the network; [1-9]\d* tokens served\n$/);
    }
    await expect.poll(readyCount).toBe(0);
  });

  it('keep a volunteer’s key and weights for the next time, where only its owner reads the key', async () => {
    const { mode } = await stat(join(folder, 'one/keys/one.key'));
    expect(mode & 0o777).toBe(0o600);
    expect(
      (await readdir(join(folder, 'one/blobs'))).filter((name) => /^[0-9a-f]{64}$/.test(name)).length,
    ).toBeGreaterThan(4);
    expect(await readdir(join(folder, 'one/blobs/partial'))).toEqual([]);
  });

  it.each([
    ['nobody holds the model', () => [], /no volunteer/i],
    ['the server has no such model', () => ['--model', 'none'], /no model none: it has wren/],
    [
      'nobody is at the address',
      async () => ['--server', await emptyAddress()],
      /no answer from http:\/\/127\.0\.0\.1:/,
    ],
    ['an option is wrong', () => ['--max-tokens', '0'], /whole number from 1/],
  ])('fail in words where %s', async (reason, args, words) => {
    const isWrongOption = reason === 'an option is wrong';
    const given = asking(...(await args()));
    // The quickest of them as a person runs it, always: it has to end by itself, and without a trace.
    const asked = await (isThorough || isWrongOption ? runChorus(given) : callChorus(...given));
    expect(asked.code).toBe(isWrongOption ? 2 : 1);
    expect(asked.out).toBe('');
    expect(asked.err).toMatch(words);
    expect(asked.err).not.toMatch(/\n\s+at /);
  });
});
