/**
 * `npm run conformance [-- --server URL]`: has real clients of the OpenAI API ask a server, one of its own unless another is
 * named, and writes what they found to docs/conformance.md. The clients are installed into a temporary folder from the
 * package registries that npm and pip are set up with; where one cannot be had, the page says so.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { conformancePage, findingSchema, type Finding, type TriedClient } from './conformance/table.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const programs = join(root, 'scripts/conformance');
const INSTALL_MS = 5 * 60_000;
const START_MS = 3 * 60_000;
const CLIENT_MS = 15 * 60_000;
const MODEL = 'wren';

/** The clients, at the versions that the page is about. */
const NODE_CLIENTS = [
  { name: 'openai', program: 'openai.mjs', packages: ['openai@7.59.0'] },
  {
    name: '@langchain/openai',
    program: 'langchain.mjs',
    packages: ['@langchain/openai@1.6.0', '@langchain/core@1.4.0'],
  },
  { name: 'ai', program: 'ai-sdk.mjs', packages: ['ai@7.0.173', '@ai-sdk/openai-compatible@3.0.92', 'zod@4.6.7'] },
  { name: 'llamaindex', program: 'llamaindex.mjs', packages: ['llamaindex@0.12.1', '@llamaindex/openai@0.4.23'] },
];
const PYTHON_CLIENT = { name: 'openai (Python)', program: 'python_openai.py', packages: ['openai==3.57.0'] };

interface Installed {
  readonly client: TriedClient;
  readonly command: readonly [string, ...string[]];
  readonly folder: string;
}

/** Each client gets a folder of its own, so that none is given another's dependencies. */
async function installNodeClient(folder: string, client: (typeof NODE_CLIENTS)[number]): Promise<Installed> {
  const own = join(folder, client.program.replace(/\.mjs$/, ''));
  await cp(programs, own, { recursive: true });
  await writeFile(join(own, 'package.json'), JSON.stringify({ name: 'conformance', private: true, type: 'module' }));
  const args = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--no-package-lock', ...client.packages];
  return {
    ...(await tried(client, run('npm', args, { cwd: own, timeout: INSTALL_MS }))),
    folder: own,
    command: [process.execPath, client.program],
  };
}

async function installPythonClient(folder: string): Promise<Installed> {
  const own = join(folder, 'python');
  await cp(programs, own, { recursive: true });
  const python = join(own, 'venv', process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
  const install = async (): Promise<void> => {
    await run('python3', ['-m', 'venv', 'venv'], { cwd: own, timeout: INSTALL_MS });
    await run(python, ['-m', 'pip', 'install', '--quiet', ...PYTHON_CLIENT.packages], {
      cwd: own,
      timeout: INSTALL_MS,
    });
  };
  return { ...(await tried(PYTHON_CLIENT, install())), folder: own, command: [python, PYTHON_CLIENT.program] };
}

async function tried(
  { name, packages }: Omit<TriedClient, 'missing'>,
  install: Promise<unknown>,
): Promise<{ readonly client: TriedClient }> {
  const missing = await install.then(
    () => null,
    (error: unknown) => {
      process.stderr.write(`${name} could not be installed: ${String(error).slice(0, 500)}\n`);
      return 'could not be installed';
    },
  );
  return { client: { name, packages, missing } };
}

/** Has one client try everything. A program that ends early leaves its later findings out, and that is an error. */
async function findingsOf(
  { client, command: [program, ...args], folder }: Installed,
  base: string,
): Promise<Finding[]> {
  const child = spawn(program, args, {
    cwd: folder,
    env: { ...process.env, BASE: base, MODEL },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: CLIENT_MS,
  });
  const ended = once(child, 'close');
  const findings: Finding[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith('{"client"')) continue;
    const finding = findingSchema.parse(JSON.parse(line));
    findings.push(finding);
    process.stdout.write(
      `${client.name}: ${finding.feature}: ${finding.result}${finding.why && ` (${finding.why})`}\n`,
    );
  }
  const [status] = (await ended) as [number | null];
  if (status !== 0) throw new Error(`the program of ${client.name} ended with status ${status}`);
  return findings;
}

interface RunningServer {
  readonly url: string;
  stop(): Promise<void>;
}

async function startServer(folder: string): Promise<RunningServer> {
  const args = [
    'bin/chorus.mjs',
    'serve',
    '--port',
    '0',
    '--host',
    '127.0.0.1',
    '--data',
    join(folder, 'data'),
    '--log-level',
    'error',
  ];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  };
  try {
    const url = await readyAt(child);
    // What it says later is nobody's, and must not fill its pipe.
    child.stdout.resume();
    return { url, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function readyAt(child: ChildProcess): Promise<string> {
  const timer = setTimeout(() => child.kill('SIGKILL'), START_MS);
  let url: string | null = null;
  try {
    for await (const line of createInterface({ input: child.stdout! })) {
      url ??= /^Chorus is at (\S+)/.exec(line)?.[1] ?? null;
      if (line.startsWith('ready to answer') && url !== null) return url;
    }
  } finally {
    clearTimeout(timer);
  }
  throw new Error('the server ended before it was ready to answer');
}

const { values } = parseArgs({ options: { server: { type: 'string' } } });
const folder = await mkdtemp(join(tmpdir(), 'chorus-conformance-'));
let server: RunningServer | null = null;
try {
  const installed: Installed[] = [];
  for (const client of NODE_CLIENTS) installed.push(await installNodeClient(folder, client));
  installed.push(await installPythonClient(folder));
  if (values.server === undefined) server = await startServer(folder);
  const base = `${(values.server ?? server!.url).replace(/\/$/, '')}/v1`;
  const findings: Finding[] = [];
  for (const each of installed) if (each.client.missing === null) findings.push(...(await findingsOf(each, base)));
  await writeFile(
    join(root, 'docs/conformance.md'),
    conformancePage(
      installed.map(({ client }) => client),
      findings,
    ),
  );
  await run(join(root, 'node_modules/.bin/oxfmt'), ['docs/conformance.md'], { cwd: root });
  process.stdout.write(`${findings.length} rows in docs/conformance.md\n`);
} finally {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
}
