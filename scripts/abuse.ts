/**
 * `npm run abuse [-- --seconds 60 --turns 2 --attack NAME …]`: what an honest client waits for answers while somebody at one other
 * address attacks, in turns, another, idle server and the one that it asks. Prints the table of docs/operating.md.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { attacks } from './abuse/attacks.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const START_MS = 180_000;
/** An answer that takes longer counts as this long. */
const ANSWER_MS = 30_000;

interface Server {
  readonly url: string;
  readonly process: ChildProcess;
}

interface Seen {
  readonly answersMs: number[];
  failures: number;
  mostMiB: number;
  tally: Record<string, number>;
}

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    turns: { type: 'string', default: '2' },
    attack: { type: 'string', multiple: true, default: Object.keys(attacks) },
    serve: { type: 'string', multiple: true, default: [] },
  },
});
const turns = Number(values.turns);
const turnMs = (1000 * Number(values.seconds)) / turns;
const folder = await mkdtemp(join(tmpdir(), 'chorus-abuse-'));
const servers: Server[] = [];
try {
  servers.push(await startServer('asked'), await startServer('idle'));
  const [asked, idle] = servers as [Server, Server];
  process.stdout.write('| Attack | idle server attacked | this one attacked | ratio | memory | came of it |\n');
  for (const name of values.attack) {
    const apart = nothingSeen();
    const under = nothingSeen();
    for (let turn = 0; turn < turns; turn++) {
      await attackAndAsk(name, idle, asked, apart);
      await attackAndAsk(name, asked, asked, under);
    }
    process.stdout.write(`${describe(name, apart, under)}\n`);
  }
} finally {
  for (const server of servers) {
    server.process.kill('SIGTERM');
    await once(server.process, 'exit');
  }
  await rm(folder, { recursive: true });
}

function nothingSeen(): Seen {
  return { answersMs: [], failures: 0, mostMiB: 0, tally: {} };
}

async function startServer(name: string): Promise<Server> {
  const args = ['serve', '--port', '0', '--host', '127.0.0.1', '--data', join(folder, name), '--anchors', '4'];
  args.push('--anchor-pledge', '256', '--log-level', 'warn', ...values.serve);
  const started = spawn(process.execPath, [join(root, 'bin/chorus.mjs'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const late = setTimeout(() => started.kill(), START_MS);
  let url = '';
  for await (const line of createInterface(started.stdout)) {
    url = /^Chorus is at (\S+)/.exec(line)?.[1] ?? url;
    if (line.startsWith('ready to answer')) break;
  }
  clearTimeout(late);
  if (url === '') throw new Error('the server did not start');
  started.stdout.resume();
  return { url, process: started };
}

/** One turn: the attack, and meanwhile answers one after the other from another address. */
async function attackAndAsk(name: string, attacked: Server, asked: Server, seen: Seen): Promise<void> {
  const program = join(root, 'scripts/abuse/attacker.ts');
  const attacker = spawn(process.execPath, ['--import', 'tsx', program, attacked.url, name, String(turnMs / 1000)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface(attacker.stdout);
  let told = '{}';
  const begun = once(lines, 'line');
  const exited = once(attacker, 'exit');
  lines.on('line', (line) => (told = line.startsWith('{') ? line : told));
  let isOver = false;
  exited.then(
    () => (isOver = true),
    () => undefined,
  );
  await Promise.race([begun, exited]);
  while (!isOver) {
    const startedMs = performance.now();
    const isAnswered = await ask(asked.url);
    seen.answersMs.push(isAnswered ? performance.now() - startedMs : ANSWER_MS);
    if (!isAnswered) seen.failures += 1;
    seen.mostMiB = Math.max(seen.mostMiB, await memoryOf(asked));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await exited;
  for (const [what, count] of Object.entries(JSON.parse(told) as Seen['tally']))
    seen.tally[what] = (seen.tally[what] ?? 0) + count;
}

async function ask(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'wren', prompt: 'Once upon a time', max_tokens: 4, temperature: 0 }),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

async function memoryOf({ process: { pid } }: Server): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}

function describe(name: string, apart: Seen, under: Seen): string {
  const [apartMs, underMs] = [apart, under].map(({ answersMs }) => [
    quantile(answersMs, 0.5),
    quantile(answersMs, 0.95),
  ]);
  const ms = ([middle, high]: number[]): string => `${Math.round(middle!)} / ${Math.round(high!)} ms`;
  const failures = under.failures > 0 ? `, ${under.failures} of ${under.answersMs.length} failed` : '';
  const tally = Object.entries(under.tally)
    .sort(([, a], [, b]) => b - a)
    .map(([what, count]) => `${count} ${what}`);
  const ratio = (underMs![0]! / apartMs![0]!).toFixed(1);
  return `| ${name} | ${ms(apartMs!)} | ${ms(underMs!)}${failures} | ${ratio} | ${Math.round(under.mostMiB)} MiB | ${tally.slice(0, 5).join(', ')} |`;
}

function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? NaN;
}
