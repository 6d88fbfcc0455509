import { ChorusError } from '#shared/errors.ts';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { VolunteerState } from '#shared/peer/volunteer/volunteer.ts';
import type { Route } from '#shared/route/route.ts';
import type { ModelSummary } from '#shared/wire/model-list.ts';
import type { NetworkSnapshot } from '#shared/wire/network-snapshot.ts';
import type { ChatEvent } from '../../../web/state/conversation/chat.ts';

/** Made-up contents of the page: for the gallery and for component tests. */

export function peer(n: number): PeerId {
  return ((n * 2654435761) >>> 0).toString(16).padStart(8, '0').repeat(8) as PeerId;
}

export const WREN: ModelSummary = {
  name: 'wren',
  digest: 'a'.repeat(64) as Digest,
  description: 'A very small model trained from scratch: short stories, small sums and simple facts.',
  parameters: 6_033_664,
  layers: 8,
  quantization: 'q4',
  maxPositions: 512,
  licence: 'mit',
  card: null,
  root: 'c0ffee'.padEnd(64, '1') as Digest,
  origin: 'https://example.com/wren',
  signedBy: { who: 'operator', keyHint: 'b'.repeat(64) },
  needs: { leastPledgeBytes: 52.7e6, memoryBytes: 121e6, tabBytes: 512e6, tabsToAnswer: 2, tabsToCheck: 4 },
};

const FIRST: StageRange = { start: 0, end: 4, embedding: true, head: false };
const SECOND: StageRange = { start: 4, end: 8, embedding: false, head: true };

const webgpu = 'webgpu/nvidia/ampere';

export const ROUTE: Route = {
  session: '0'.repeat(32) as SessionId,
  purpose: 'answer',
  model: WREN.digest,
  requester: { id: peer(1), webrtc: true },
  capacity: 512,
  issuedAtMs: 1_700_000_000_000,
  expiresAtMs: 1_700_000_900_000,
  stages: [
    {
      range: FIRST,
      primary: { id: peer(2), webrtc: true, numericClass: webgpu },
      shadows: [{ id: peer(5), webrtc: true, numericClass: 'wasm' }],
      predictedMs: 6,
    },
    {
      range: SECOND,
      primary: { id: peer(3), webrtc: false, numericClass: 'wasm' },
      shadows: [{ id: peer(6), webrtc: false, numericClass: 'wasm' }],
      predictedMs: 9,
    },
  ],
  notes: ['All volunteers share one network, so this route could not be spread over several.'],
};

/** With one replica for each stage. */
export const BARE_ROUTE: Route = {
  ...ROUTE,
  stages: ROUTE.stages.map((stage) => ({ ...stage, shadows: [] })),
  notes: ['No second volunteer holds these layers, so nobody re-runs them.'],
};

const STORY =
  'Once upon a time there was a small fox named Pip. Pip found a lantern in the tall grass. "Who lost this light?" he asked. ' +
  'He carried it from door to door until an old owl laughed and said, "It is mine, and now I can read again." Pip was glad. The end.';

export const PROMPT_TOKENS = 27;

export function routedEvent(route: Route): ChatEvent {
  return {
    type: 'routed',
    route,
    links: [
      { stage: 0, transport: 'webrtc', roundTripMs: 2.4 },
      { stage: 1, transport: 'relay', roundTripMs: 5.1 },
    ],
  };
}

/** The tokens of an answer, word by word. */
export function tokenEvents(repeat = 1): ChatEvent[] {
  const words = Array.from({ length: repeat }, () => STORY)
    .join(' ')
    .split(/(?<= )/);
  const hop = (stage: number, runUs: number, queueUs: number) => ({
    stage,
    onward: 'relay' as const,
    queueUs,
    decodeUs: 90,
    runUs,
    encodeUs: 110,
  });
  return words.map((text, i): ChatEvent => ({
    type: 'token',
    token: i,
    text,
    logprob: -0.3,
    position: PROMPT_TOKENS + i,
    lapMs: 17 + (i % 3),
    hops: [hop(0, 3900 + 60 * (i % 4), 120), hop(1, 6800, 1400)],
  }));
}

export function servingState(atMs: number): VolunteerState {
  const history = Array.from({ length: 60 }, (_, i) => ({
    atMs: atMs - (60 - i) * 1000,
    tokens: Math.max(0, Math.round(22 + 18 * Math.sin(i / 5) - (i % 7 === 0 ? 25 : 0))),
  }));
  return {
    phase: 'serving',
    message: 'Ready for answers that pass layers 4 to 7 and the head',
    backend: {
      backend: 'webgpu',
      numericClass: 'webgpu/nvidia/ampere',
      runtimeVersion: '1.30.0',
      fallbackReason: null,
      isDeviceFaulty: false,
    },
    model: { name: 'wren', digest: WREN.digest },
    range: SECOND,
    isProving: false,
    progress: null,
    memoryBytes: 23_400_000,
    sessions: 2,
    tokensServed: 18_342,
    spansShadowed: 412,
    spansCommitted: 578,
    tokensPerSecond: 31.4,
    history,
    probeError: 0.00021,
    standing: { gate: 'open', spans: 3, neededSpans: 10, reason: null, untilMs: null },
    error: null,
  };
}

export function tryingState(atMs: number): VolunteerState {
  const standing = { gate: 'trial', spans: 0, neededSpans: 10, reason: 'the server tries it', untilMs: null } as const;
  return { ...servingState(atMs), sessions: 1, tokensServed: 0, spansShadowed: 0, spansCommitted: 0, standing };
}

export function leftOutState(atMs: number): VolunteerState {
  const reason =
    'in a session that the server asked for itself, it did not get through the session in time. ' +
    'A tab that stays in front, on a device that is not busy, passes; if numbers are the reason, ' +
    'try the processor instead of the graphics device.';
  const standing = { gate: 'closed', spans: 3, neededSpans: 10, reason, untilMs: atMs + 120_000 } as const;
  return { ...servingState(atMs), sessions: 0, standing };
}

export function suspendedState(atMs: number): VolunteerState {
  const message = 'This key is suspended';
  return { ...servingState(atMs), phase: 'idle', message, model: null, range: null, memoryBytes: 0, sessions: 0 };
}

export function downloadingState(atMs: number): VolunteerState {
  return {
    ...servingState(atMs),
    phase: 'downloading',
    message: 'Downloading layers 4 to 7 and the head of wren',
    progress: { label: 'Layers', unit: 'bytes', done: 1_843_200, total: 3_145_728 },
    memoryBytes: 0,
    sessions: 0,
    tokensServed: 0,
    spansShadowed: 0,
    spansCommitted: 0,
    tokensPerSecond: 0,
    history: [],
    probeError: null,
  };
}

export function failedState(atMs: number): VolunteerState {
  return {
    ...downloadingState(atMs),
    phase: 'failed',
    message: 'the probe differs',
    progress: null,
    model: null,
    range: null,
    error: new ChorusError('probe-failed', 'the probe differs by 0.31 where 0.01 is allowed'),
  };
}

/** A stage could not be loaded, for a reason that only the browser has words for. */
export function waitingState(atMs: number): VolunteerState {
  const raw =
    'Failed to fetch dynamically imported module: https://chorus.example/assets/engine-1a2b3c4d5e6f708192a3b4c5d6e7f8.js';
  return { ...failedState(atMs), phase: 'idle', error: new ChorusError('internal', raw, {}, raw) };
}

const noChecks = { checked: 0, settled: 0, unchecked: 0, disputed: 0 };

export function networkSnapshot(atMs: number, servable = true): NetworkSnapshot {
  const ranges = [
    FIRST,
    SECOND,
    { start: 2, end: 6, embedding: false, head: false },
    FIRST,
    SECOND,
    { start: 6, end: 8, embedding: false, head: true },
  ];
  const volunteers = ranges
    .filter((range) => servable || range.end < 8)
    .map((range, i): NetworkSnapshot['volunteers'][number] => ({
      id: peer(i + 2),
      kind: i < 3 ? 'anchor' : i === 5 ? 'cli' : 'tab',
      state: i === 3 ? 'loading' : 'ready',
      backend: i === 0 || i === 4 ? 'webgpu' : 'wasm',
      numericClass: i === 0 ? 'webgpu/nvidia/ampere' : i === 4 ? 'webgpu/apple/metal-3' : 'wasm',
      webrtc: i >= 3,
      pledgeBytes: 512e6,
      model: WREN.digest,
      range,
      layerMs: 0.6 + i * 0.3,
      sessions: i % 2,
      slots: 2,
      tokens: 12_000 * (i + 1),
      joinedAtMs: atMs - (i + 1) * 1_260_000,
      hidden: i === 4,
      gate: i === 5 ? 'trial' : 'open',
      measuredClass: i < 4,
      trust: {
        witnessedSpans: i === 5 ? 3 : i === 3 ? 0 : 114 * (i + 1),
        agreedSpans: 100 * (i % 3),
        isNew: i === 5 || i === 3,
        isLongTrusted: i !== 5 && i !== 3,
        suspendedUntilMs: i === 3 ? atMs + 2_400_000 : null,
      },
    }));
  const held = (test: (range: StageRange) => boolean) =>
    volunteers.filter((volunteer) => volunteer.state === 'ready' && volunteer.range !== null && test(volunteer.range))
      .length;
  return {
    serverTimeMs: atMs,
    startedAtMs: atMs - 9_300_000,
    version: '0.1.0',
    models: [
      {
        ...WREN,
        minStages: 2,
        coverage: {
          embedding: held((range) => range.embedding),
          layers: Array.from({ length: 8 }, (_, layer) => held((range) => layer >= range.start && layer < range.end)),
          head: held((range) => range.head),
        },
        servable,
        reason: servable ? null : 'Nobody holds layers 6 to 7 and the head.',
      },
    ],
    volunteers,
    hiddenSessions: {
      sessions: { trial: { passed: 41, failed: 2, unclear: 1 }, later: { passed: 388, failed: 3, unclear: 12 } },
      ...{ tokens: 10_344, anchorMs: 402_000, steerers: 0 },
    },
    checks: servable ? { checked: 8_412, settled: 17, unchecked: 322, disputed: 2 } : noChecks,
    faults: servable
      ? [
          {
            volunteer: peer(5),
            range: FIRST,
            reason: 'it computed something else than the referee',
            atMs: atMs - 600_000,
          },
          { volunteer: peer(9), range: SECOND, reason: 'it signed two commits for one span', atMs: atMs - 7_900_000 },
        ]
      : [],
    sessions: { running: 2, queued: 0, finished: 1_284, failed: 3 },
    history: Array.from({ length: 180 }, (_, i) => ({
      atMs: atMs - (180 - i) * 10_000,
      volunteers: Math.round(4 + 2 * Math.sin(i / 30)),
      sessions: i % 3,
      tokensPerSecond: Math.max(0, 38 + 24 * Math.sin(i / 14) + 9 * Math.sin(i * 1.7)),
    })),
    sharedPrefix: true,
    relayByDefault: false,
    noReceipts: null,
  };
}
