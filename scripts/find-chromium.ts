import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const installed = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
];

/** Path of a Chromium: `CHROMIUM_PATH`, one the system has, or Playwright's own download; null if there is none. */
export function findChromium(): string | null {
  const candidates = [process.env['CHROMIUM_PATH'], ...installed, chromium.executablePath()];
  return candidates.find((path) => path !== undefined && path !== '' && existsSync(path)) ?? null;
}

const commonArgs: readonly string[] = [
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/**
 * How every test starts Chromium: headless on a machine without a GPU (WebGPU by SwiftShader), as any user, without
 * the background traffic of a desktop browser.
 */
export const chromiumArgs: readonly string[] = [...commonArgs, '--use-webgpu-adapter=swiftshader'];

/** The same with the machine's own GPU, which Chromium on Linux reaches by Vulkan. */
export const gpuChromiumArgs: readonly string[] = [...commonArgs, '--ignore-gpu-blocklist', '--enable-features=Vulkan'];
