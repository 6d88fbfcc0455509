import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import { openStore, type SessionRecord } from '../../signal-server/store.ts';
import { codeOf } from '../support/code-of.ts';

const volunteer = 'a'.repeat(64) as PeerId;
const session: SessionRecord = {
  id: '0'.repeat(32) as SessionId,
  model: 'b'.repeat(64) as Digest,
  requester: 'c'.repeat(64) as PeerId,
  issuedMs: 1,
  endedMs: 2,
  outcome: 'done',
  tokens: 7,
  tokensPerSecond: 3.5,
  primaries: [volunteer],
  faults: [],
  checks: { checked: 3, settled: 1, unchecked: 2, disputed: 0 },
};

describe('the store', () => {
  let folder: string;
  let path: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'chorus-store-'));
    path = join(folder, 'chorus.sqlite');
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('keeps what it was told when opened again', () => {
    const store = openStore(path);
    store.volunteerSeen(volunteer, 'tab', 5);
    store.volunteerSeen(volunteer, 'cli', 9);
    store.sessionEnded(session);
    store.close();
    const again = openStore(path);
    expect(again.volunteer(volunteer)).toEqual({
      kind: 'cli',
      firstSeenMs: 5,
      lastSeenMs: 9,
      sessions: 1,
      tokens: 7,
      faults: 0,
    });
    expect(again.totals()).toEqual({ finished: 1, failed: 0, tokens: 7, ...session.checks });
    again.close();
  });

  it('counts a session once, however often it is told', () => {
    const store = openStore(path);
    store.volunteerSeen(volunteer, 'tab', 5);
    store.sessionEnded(session);
    store.sessionEnded({ ...session, tokens: 100 });
    expect(store.volunteer(volunteer)).toMatchObject({ sessions: 1, tokens: 7 });
    store.close();
  });

  it('knows nothing of volunteers it was not told of', () => {
    const store = openStore(path);
    store.sessionEnded(session);
    expect(store.volunteer(volunteer)).toBeNull();
    store.close();
  });

  it('is not opened twice at once', () => {
    const store = openStore(path);
    expect(codeOf(() => openStore(path))).toBe('internal');
    store.close();
    openStore(path).close();
  });

  it('holds all that was acknowledged when its process is killed', async () => {
    const program = fileURLToPath(new URL('../support/record-sessions.mjs', import.meta.url));
    const child = spawn(process.execPath, [program, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (data: Buffer) => {
      output += data.toString();
      if (output.split('\n').length > 50) child.kill('SIGKILL');
    });
    await once(child, 'close');
    const acknowledged = output.split('\n').length - 1;
    const store = openStore(path);
    const { finished } = store.totals();
    expect(finished).toBeGreaterThanOrEqual(acknowledged);
    expect(store.volunteer(volunteer)).toMatchObject({ sessions: finished, tokens: finished });
    store.close();
  });
});
