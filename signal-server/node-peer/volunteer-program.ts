import type { BlobStore } from '#shared/blobs/blob-store.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { randomBytes as random, verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import { Volunteer, type LendingSettings } from '#shared/peer/volunteer/volunteer.ts';
import { createWorkerClient, type WorkerPort } from '#shared/peer/volunteer/worker-client.ts';
import { systemClock as clock } from '../machine/system-clock.ts';
import { connectPeer } from './node-connection.ts';
import { serverApiAt } from './server-api.ts';
import { spawnWorkerThread } from './worker-thread.ts';

export interface VolunteerProgramOptions {
  readonly serverUrl: URL;
  readonly identity: Identity;
  readonly kind: 'anchor' | 'cli';
  readonly blobs: BlobStore;
  readonly settings: Pick<LendingSettings, 'backend' | 'pledgeBytes' | 'slots'>;
  /** How compute threads come to be; worker threads of Node if left out. */
  readonly spawnWorker?: () => WorkerPort;
  /** Stops everything at once. */
  readonly signal: AbortSignal;
}

export interface NodeVolunteer {
  readonly volunteer: Volunteer;
  /** Resolves once it is over: null after `finish`, `stop` or the signal, otherwise why it cannot go on. */
  readonly ended: Promise<ChorusError | null>;
  /** Lets running sessions end first. */
  finish(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a volunteer without a browser. Rejects as `connectControl` does; later losses of the server are mended. */
export async function startVolunteer(options: VolunteerProgramOptions): Promise<NodeVolunteer> {
  const { serverUrl, identity, settings, signal } = options;
  // Once connected, a stop must reach the volunteer before its connection closes.
  const connecting = new AbortController();
  const stopConnecting = () => connecting.abort();
  if (signal.aborted) stopConnecting();
  signal.addEventListener('abort', stopConnecting);
  const { control, links, close } = await connectPeer({ ...options, signal: connecting.signal }).finally(() => {
    signal.removeEventListener('abort', stopConnecting);
  });
  const api = serverApiAt(serverUrl);
  const worker = createWorkerClient({ spawn: options.spawnWorker ?? spawnWorkerThread, clock });
  const volunteer = new Volunteer({
    identity,
    control,
    links,
    worker,
    blobs: options.blobs,
    fetchRange: (digest, start, end, fetchSignal) => api.fetchRange(digest, start, end, fetchSignal),
    fetchManifest: (digest, fetchSignal) => api.fetchManifest(digest, fetchSignal),
    clock,
    verify,
    random,
    settings: { ...settings, keepSubgroups: false, dutyShare: 1, webrtc: false, held: [], isHidden: () => false },
  });

  let settle: (reason: ChorusError | null) => void = () => {};
  const ended = new Promise<ChorusError | null>((resolve) => (settle = resolve));
  const end = async (leave: () => Promise<void> | void, reason: ChorusError | null): Promise<void> => {
    try {
      await leave();
    } finally {
      worker.stop();
      close();
      settle(reason);
    }
  };
  const stop = (reason: ChorusError | null = null) => end(() => volunteer.stop(), reason);
  const stopAtOnce = () => void stop();
  signal.addEventListener('abort', stopAtOnce, { once: true });
  void ended.then(() => signal.removeEventListener('abort', stopAtOnce));

  volunteer.onChange(() => {
    const { phase, error } = volunteer.state;
    if (phase === 'failed') void stop(error ?? new ChorusError('internal', 'the volunteer failed'));
  });
  volunteer.start();
  return { volunteer, ended, finish: () => end(() => volunteer.finish(), null), stop: () => stop() };
}
