import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fromHex } from '#shared/bytes.ts';
import { WORK_PUZZLES } from '#shared/limits.ts';
import { HOSTILE_ADDRESS, HostilePeer, openSocket } from './hostile-peer.ts';

export interface Attack {
  readonly url: string;
  readonly model: string;
  /** Ids of the volunteers that are there. */
  readonly volunteers: readonly string[];
  readonly isOver: () => boolean;
  /** Counts what came of it. */
  readonly note: (what: string, times?: number) => void;
}

const PIECE_BYTES = 16_000;

/** What one address does to take what is not its own; each goes on until it is over. */
export const attacks: Readonly<Record<string, (attack: Attack) => Promise<void>>> = {
  /** Takes routes and opens none of them. */
  routes: async (attack) => {
    const peers = await connectMany(attack, 8);
    let number = 0;
    for (const peer of peers) {
      peer.onMessage = ({ type, code }) => attack.note(typeof code === 'string' ? `${type} ${code}` : type);
    }
    await repeat(attack, 500, () => {
      for (const peer of peers) {
        for (let i = 0; i < 4; i++) peer.send(routeMessage(number++, attack.model));
      }
    });
  },
  /** Prompts of the largest size. */
  prompts: async (attack) => {
    const body = JSON.stringify({ model: 'wren', prompt: 'a '.repeat(32_700), max_tokens: 1 });
    await concurrently(6, async () => {
      while (!attack.isOver()) attack.note(await post(attack.url, '/v1/completions', body));
    });
  },
  /** Pieces to volunteers that have accepted no channel. */
  relay: async (attack) => {
    const peers = await connectMany(attack, 60);
    const frames = attack.volunteers.map((id) => frame(id, 2, 1, randomBytes(PIECE_BYTES)));
    for (const peer of peers) peer.onFrame = () => attack.note('answers');
    await flood(attack, peers, (peer, i) => peer.send(frames[i % frames.length]!));
  },
  /** Pieces between keys of its own, which accept everything. */
  'relay between its own': async (attack) => {
    const peers = await connectMany(attack, 40);
    const piece = randomBytes(PIECE_BYTES);
    peers.forEach((peer, i) => {
      const next = peers[(i + 1) % peers.length]!;
      peer.onFrame = (bytes) => attack.note(bytes[36] === 1 ? 'pieces passed' : 'answers');
      peer.send(frame(next.identity.id, peer.identity.id < next.identity.id ? 2 : 3, 0));
    });
    await sleep(300);
    peers.forEach((peer, i) => {
      // Accepts what the one before has opened.
      const before = peers[(i + peers.length - 1) % peers.length]!;
      const channel = before.identity.id < peer.identity.id ? 2 : 3;
      peer.send(frame(before.identity.id, channel, 1, randomBytes(10)));
    });
    await sleep(300);
    await flood(attack, peers, (peer) => {
      const next = peers[(peers.indexOf(peer) + 1) % peers.length]!;
      peer.send(frame(next.identity.id, peer.identity.id < next.identity.id ? 2 : 3, 1, piece));
    });
  },
  /** Channels that are opened and never shaken hands on. */
  links: async (attack) => {
    const peers = await connectMany(attack, 66);
    let number = 0;
    for (const peer of peers) peer.onFrame = (bytes) => attack.note(bytes[36] === 2 ? 'closed' : 'answers');
    await repeat(attack, 1_200, () => {
      number += 8;
      for (const peer of peers) {
        for (const id of attack.volunteers) {
          for (let i = 0; i < 4; i++) peer.send(frame(id, number + 2 * i + (peer.identity.id < id ? 0 : 1), 0));
        }
      }
    });
  },
  /** One blob again and again. */
  blobs: async (attack) => {
    const blob = await largestBlob(attack);
    await concurrently(50, async () => {
      while (!attack.isOver()) attack.note(await get(attack.url, `/blobs/${blob}`));
    });
  },
  /** Deep JSON on sockets that have proven nothing. */
  'before the proof': async (attack) => {
    const deep = '['.repeat(480_000);
    await concurrently(4, async () => {
      while (!attack.isOver()) {
        await new Promise<void>((resolve) => {
          const socket = openSocket(attack.url);
          socket.on('open', () => socket.send(deep));
          socket.on('message', (data: Buffer) => attack.note(codeOf(data)));
          socket.on('close', () => resolve());
          socket.on('error', () => {
            attack.note('not taken');
            setTimeout(resolve, 100);
          });
        });
      }
    });
  },
  /** A thousand sessions that it never had, to come back to. */
  resume: async (attack) => {
    const peers = await connectMany(attack, 110);
    const sessions = Array.from({ length: 1_000 }, () => randomBytes(16).toString('hex'));
    const message = JSON.stringify({ type: 'resume', sessions });
    await repeat(attack, 70, () => peers.forEach((peer) => peer.send(message)));
  },
  /** Large messages of a form that no peer sends. */
  json: async (attack) => {
    const peers = await connectMany(attack, 100);
    const wide = `{${Array.from({ length: 30_000 }, (_, i) => `"k${i}":1`).join(',')}}`;
    await repeat(attack, 300, async () => {
      for (const peer of peers) peer.send(wide);
      if (peers.filter(({ isOpen }) => isOpen).length < 20) peers.push(...(await connectMany(attack, 3)));
    });
  },
  /** The state of the network, as often as it is given. */
  network: async (attack) => {
    await concurrently(50, async () => {
      while (!attack.isOver()) attack.note(await get(attack.url, '/api/network'));
    });
  },
  /** New keys, each of which offers itself and leaves. */
  keys: async (attack) => {
    await concurrently(4, async () => {
      while (!attack.isOver()) {
        const [peer] = await connectMany(attack, 1);
        if (peer === undefined) await sleep(50);
        else {
          peer.send(offer());
          attack.note('keys');
          peer.socket.close();
        }
      }
    });
  },
  /** Work that was not done, by key after key. */
  'false work': async (attack) => {
    await concurrently(8, async () => {
      while (!attack.isOver()) {
        const [peer] = await connectMany(attack, 1);
        if (peer === undefined) {
          await sleep(50);
          continue;
        }
        await new Promise<void>((resolve) => {
          peer.onClose = (reason) => {
            attack.note(`dropped: ${reason}`);
            resolve();
          };
          peer.onMessage = ({ type, epoch }) => {
            if (type !== 'work') return;
            const nonces = Array.from({ length: WORK_PUZZLES }, () => randomBytes(4).readUInt32LE());
            peer.send({ type: 'worked', epoch, nonces });
            attack.note('shown');
          };
          peer.send(offer());
        });
      }
    });
  },
  /** Offers as fast as the server reads them. */
  offers: async (attack) => {
    const peers = await connectMany(attack, 110);
    await repeat(attack, 110, () => {
      for (const peer of peers) for (let i = 0; i < 5; i++) peer.send(offer());
    });
  },
};

/** Peers of so many new keys, or of as many as the server takes. */
async function connectMany({ url, isOver, note }: Attack, count: number): Promise<HostilePeer[]> {
  const peers: HostilePeer[] = [];
  let [left, isRefused] = [count, false];
  await concurrently(Math.min(count, 8), async () => {
    while (left > 0 && !isRefused && !isOver()) {
      left -= 1;
      try {
        const peer = await HostilePeer.connect(url);
        peer.onClose = (reason) => note(`dropped: ${reason}`);
        peers.push(peer);
      } catch (error) {
        note(`not taken: ${error instanceof Error ? error.message.slice(0, 60) : 'unknown'}`);
        isRefused = true;
      }
    }
  });
  return peers;
}

/** As fast as the server reads. */
async function flood(
  { isOver, note }: Attack,
  peers: readonly HostilePeer[],
  send: (peer: HostilePeer, i: number) => void,
): Promise<void> {
  let i = 0;
  while (!isOver()) {
    for (const peer of peers) {
      for (let k = 0; k < 6 && peer.isOpen && peer.socket.bufferedAmount < 1 << 20; k++) {
        send(peer, i++);
        note('pieces sent');
      }
    }
    await new Promise((resolve) => setImmediate(resolve));
    if (peers.every(({ isOpen }) => !isOpen)) await sleep(50);
  }
}

async function repeat({ isOver }: Attack, periodMs: number, act: () => void | Promise<void>): Promise<void> {
  while (!isOver()) {
    await act();
    await sleep(periodMs);
  }
}

async function concurrently(count: number, run: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: count }, run));
}

function frame(to: string, channel: number, op: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const header = Buffer.alloc(37);
  header.set(fromHex(to));
  header.writeUInt32LE(channel, 32);
  header[36] = op;
  return Buffer.concat([header, payload]);
}

const offer = () => ({
  ...{ type: 'offer', backend: 'wasm', numericClass: randomBytes(90).toString('hex'), runtimeVersion: '1.30.0' },
  ...{ pledgeBytes: 2 ** 30, webrtc: false, slots: 4, held: [], layerMs: 1 },
});

const routeMessage = (number: number, model: string) => ({
  ...{ type: 'route', request: number, model, capacity: 512, webrtc: false, exclude: [] },
  policy: { shadows: 4, minStages: 2 },
});

function codeOf(data: Buffer): string {
  const { type, code } = JSON.parse(data.toString()) as { type: string; code?: string };
  return code ?? type;
}

async function largestBlob({ url, model }: Attack): Promise<string> {
  const envelope = (await (await fetch(`${url}/api/models/${model}`)).json()) as { payload: string };
  const manifest = Buffer.from(envelope.payload, 'base64').toString();
  const blobs = [...manifest.matchAll(/"digest":"([0-9a-f]{64})","bytes":(\d+)/g)];
  return blobs.sort((a, b) => Number(b[2]) - Number(a[2]))[0]?.[1] ?? '';
}

const get = (url: string, path: string): Promise<string> => ask(url, path, 'GET');
const post = (url: string, path: string, body: string): Promise<string> => ask(url, path, 'POST', body);

/** The status, or why there was none. */
function ask(url: string, path: string, method: string, body?: string): Promise<string> {
  return new Promise((resolve) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const asked = request(`${url}${path}`, { method, localAddress: HOSTILE_ADDRESS, headers }, (response) => {
      response.resume();
      response.on('close', () => resolve(`status ${response.statusCode}`));
    });
    asked.on('error', () => setTimeout(resolve, 50, 'no answer'));
    asked.end(body);
  });
}
