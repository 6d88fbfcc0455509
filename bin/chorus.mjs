#!/usr/bin/env node
// Only what every Node reads comes before the check of its version: an older one must get as far as the sentence.
import { readFileSync } from 'node:fs';

const { engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const wanted = /\d+(?:\.\d+)*/.exec(engines.node)[0];
if (isOlder(process.versions.node, wanted)) {
  const advice = 'Install a newer one: https://nodejs.org';
  process.stderr.write(`chorus: Node ${process.versions.node} is too old; at least ${wanted} is needed. ${advice}\n`);
  process.exit(2);
}
// As the first process of a container nothing else ends this one; a command that stops in order listens too.
const numbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 };
for (const signal of Object.keys(numbers)) {
  process.on(signal, () => {
    if (process.listenerCount(signal) === 1) process.exit(128 + numbers[signal]);
  });
}
// Nobody can be told more where the output is lost; a command that goes on without it, or has more to do, listens too.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error) => {
    if (stream.listenerCount('error') > 1) return;
    if (error.code === 'EPIPE') process.exit(141);
    if (stream === process.stdout) process.stderr.write(`chorus: the output cannot be written: ${error.message}\n`);
    process.exit(1);
  });
}
try {
  process.cwd();
} catch {
  process.stderr.write('chorus: the current folder is not there any more. Change to another one.\n');
  process.exit(2);
}
// What the loader starts may fail where nobody waits for it.
process.on('uncaughtException', refuse);
run().catch(refuse);

function refuse(error) {
  const advice = error.code === 'EMFILE' ? '. Raise the limit of open files (ulimit -n)' : '';
  process.stderr.write(`chorus: the program cannot be loaded: ${error.message}${advice}\n`);
  process.exit(2);
}

async function run() {
  // The program is TypeScript and runs from source: this registers the loader, for threads it starts as well.
  const { register } = await import('tsx/esm/api');
  register();
  const { runCommandLine } = await import('../signal-server/cli/main.ts');
  process.off('uncaughtException', refuse);
  await runCommandLine(process.argv);
}

function isOlder(version, least) {
  const parts = version.split('.').map(Number);
  for (const [i, part] of least.split('.').map(Number).entries()) {
    if (parts[i] !== part) return parts[i] < part;
  }
  return false;
}
