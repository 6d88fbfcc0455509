import { readFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { stageBlobs } from '#shared/model/cut.ts';
import { importModel } from '../../signal-server/import/import-model.ts';
import { ComputeHost } from '../../worker/compute-host.ts';
import { ggufModel, writeGgufModel } from '../support/gguf-model.ts';
import { realClock } from '../support/real-clock.ts';

test(
  'a model that processors alone hold exactly is computed on one, whatever device there is',
  { timeout: 60_000 },
  async () => {
    const scratch = await mkdtemp(join(tmpdir(), 'chorus-only-'));
    const path = join(scratch, 'tiny.gguf');
    await writeGgufModel(path, ggufModel('llama', ['Q4_K']));
    const { manifest } = await importModel(path, {
      dataFolder: scratch,
      maxPositions: 64,
      onProgress: () => undefined,
    });
    let isDestroyed = false;
    const device = {
      ...{ features: new Set(), lost: new Promise(() => undefined), addEventListener: () => undefined },
      destroy: () => (isDestroyed = true),
    };
    const info = { vendor: 'acme', architecture: 'x', isFallbackAdapter: false };
    const adapter = { features: new Set(), limits: {}, info, requestDevice: () => Promise.resolve(device) };
    const host = new ComputeHost({
      gpu: { requestAdapter: () => Promise.resolve(adapter) } as unknown as GPU,
      clock: realClock,
      onProgress: () => undefined,
      onDeviceLost: () => undefined,
    });
    expect(await host.start({ backend: 'webgpu', keepSubgroups: false })).toMatchObject({ backend: 'webgpu' });
    const range = { start: 0, end: 2, embedding: true, head: true };
    const blobs = new Map(
      await Promise.all(
        stageBlobs(manifest, range).map(
          async ({ digest }) => [digest, new Uint8Array(await readFile(join(scratch, 'blobs', digest)))] as const,
        ),
      ),
    );
    const loaded = await host.load({ manifest, range, blobs, probe: true, maxSessions: 1 });
    expect(loaded).toMatchObject({ backend: 'wasm', fallbackReason: expect.stringContaining('cannot hold') as string });
    expect(isDestroyed).toBe(true);
    await host.unload();
    await rm(scratch, { recursive: true });
  },
);
