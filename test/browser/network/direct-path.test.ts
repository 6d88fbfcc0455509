import { afterEach, beforeEach, expect, inject, test, vi } from 'vitest';
import { ServerClock } from '#shared/clock.ts';
import { randomBytes } from '#shared/crypto/web-crypto.ts';
import { canConnectDirectly } from '../../../web/network/direct-path.ts';
import { StorageHealth } from '../../../web/browser/storage-health.ts';
import { joinNetwork, type Joined } from '../../../web/network/join.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { realClock } from '../../support/real-clock.ts';

const Native = RTCPeerConnection;
let made: number;
let isRelayOnly: boolean;
let joined: Joined | undefined;

/** Counts what the page makes, and makes it as the browser would unless told otherwise. */
function watchConnections(change: (connection: RTCPeerConnection) => void = () => undefined): void {
  window.RTCPeerConnection = class extends Native {
    constructor(configuration?: RTCConfiguration) {
      super(configuration);
      made++;
      change(this);
    }
  };
}

async function join(): Promise<Joined> {
  joined = await joinNetwork({
    serverUrl: inject('signalServerUrl'),
    clock: new ServerClock(realClock),
    storage: { health: new StorageHealth(), onNotKept: () => undefined, clock: realClock },
    random: randomBytes,
    isRelayOnly: () => isRelayOnly,
    onWelcome: ({ relayByDefault }) => expect(relayByDefault).toBe(false),
    onState: () => undefined,
    onTransport: () => undefined,
    onLink: () => undefined,
  });
  return joined;
}

beforeEach(() => {
  [made, isRelayOnly] = [0, false];
  watchConnections();
});
afterEach(() => {
  joined?.control.close();
  joined = undefined;
  window.RTCPeerConnection = Native;
});

test('a page that talks through the server only makes no connection at all, until its owner chooses otherwise', async () => {
  isRelayOnly = true;
  const { links, followPath } = await join();
  expect([links.isDirect, made]).toEqual([false, 0]);
  isRelayOnly = false;
  await followPath();
  expect(links.isDirect).toBe(true);
  isRelayOnly = true;
  await followPath();
  expect(links.isDirect).toBe(false);
});

test('a choice that is taken back while it is carried out is not carried out', async () => {
  isRelayOnly = true;
  const { links, followPath } = await join();
  isRelayOnly = false;
  const following = followPath();
  isRelayOnly = true;
  await Promise.all([following, followPath()]);
  expect(links.isDirect).toBe(false);
});

const broken: [string, () => void][] = [
  ['are not there', () => Reflect.deleteProperty(window, 'RTCPeerConnection')],
  ['throw when they are made', () => watchConnections(() => throwing())],
  ['have no data channels', () => watchConnections((one) => (one.createDataChannel = throwing))],
  ['make no offer', () => watchConnections((one) => (one.createOffer = refuseOffer))],
];

const refuseOffer = () => Promise.reject<never>(new DOMException('not here', 'InvalidStateError'));

function throwing(): never {
  throw new DOMException('disabled by the administrator', 'NotSupportedError');
}

test.each(broken)(
  'where connections %s the page is reached through the server, and says so when it joins',
  async (_why, breakIt) => {
    breakIt();
    const { links } = await join();
    expect(links.isDirect).toBe(false);
  },
);

test('an offer that never comes is not waited for', async () => {
  watchConnections((one) => (one.createOffer = () => new Promise<never>(() => undefined)));
  const clock = new FakeClock();
  const found = canConnectDirectly(clock);
  await vi.waitFor(() => expect(clock.pendingTimers).toBe(1));
  await clock.advance(1_000);
  expect(await found).toBe(false);
  expect(clock.pendingTimers).toBe(0);
});
