import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { findChromium } from './find-chromium.ts';

/** Brings a Chromium for the browser tests if the machine has none: from Debian as root, else by Playwright. */
function run(command: string, ...args: string[]): boolean {
  console.log(`> ${command} ${args.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  return spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'], env }).status === 0;
}

function installFromDebian(): boolean {
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return false;
  return run('apt-get', 'update') && run('apt-get', 'install', '-y', '--no-install-recommends', 'chromium');
}

function installFromPlaywright(): boolean {
  return run('npx', 'playwright', 'install', 'chromium');
}

if (findChromium() === null && !installFromDebian()) installFromPlaywright();
const found = findChromium();
if (found === null) {
  console.error('No Chromium was found or could be installed. Set CHROMIUM_PATH to one.');
  process.exit(1);
}
console.log(`Chromium: ${found}`);
