import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import { fromBase64 } from '#shared/bytes.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { signedSeatSchema, type SignedSeat } from '#shared/route/seat.ts';
import { Reassembler } from '#shared/wire/codec/frame.ts';
import { decodePeerMessage } from '#shared/wire/codec/peer-codec.ts';
import { decodeRelayFrame } from '#shared/wire/codec/relay-frame.ts';
import { serverMessageSchema } from '#shared/wire/control-message.ts';
import { sessionOf, type PeerMessage } from '#shared/wire/peer-message.ts';

/** A message between the peer behind the proxy and another, as that peer has it. */
export interface SeenMessage {
  readonly from: 'self' | 'other';
  readonly other: PeerId;
  readonly message: PeerMessage;
  /** When its last piece passed, in milliseconds of this process. */
  readonly atMs: number;
}

/** All that one peer sees of one session. */
export interface SeenSession {
  readonly seat: SignedSeat | null;
  readonly messages: readonly SeenMessage[];
}

export interface RecordingProxy {
  readonly url: string;
  /** Texts of the control socket, in order. */
  readonly control: readonly { readonly from: 'self' | 'server'; readonly text: string }[];
  sessions(): Map<SessionId, SeenSession>;
  stop(): Promise<void>;
}

interface Frame {
  readonly from: 'self' | 'other';
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly atMs: number;
}

/** Handshakes come first on each channel: a hello and a proof. */
const HANDSHAKE_PIECES = 2;

/** Stands between one peer and its server, passes everything on and keeps it. */
export async function startRecordingProxy(serverUrl: string): Promise<RecordingProxy> {
  const frames: Frame[] = [];
  const control: { from: 'self' | 'server'; text: string }[] = [];
  const target = new URL(serverUrl);
  const server = createServer((request, response) => {
    const { method, url: path, headers } = request;
    const passed = httpRequest({ host: target.hostname, port: target.port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    passed.on('error', () => response.destroy());
    request.pipe(passed);
  });
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (near) => {
    const far = new WebSocket(`${serverUrl.replace('http', 'ws')}/control`, { perMessageDeflate: false });
    const opened = once(far, 'open');
    const pass = (to: WebSocket, from: 'self' | 'other') => (data: Buffer, isBinary: boolean) => {
      if (isBinary) frames.push({ from, bytes: new Uint8Array(data), atMs: performance.now() });
      else control.push({ from: from === 'self' ? 'self' : 'server', text: data.toString() });
      to.send(data, { binary: isBinary });
    };
    near.on('message', (data: Buffer, isBinary: boolean) => void opened.then(() => pass(far, 'self')(data, isBinary)));
    far.on('message', pass(near, 'other'));
    near.on('close', () => far.close());
    far.on('close', () => near.close());
    far.on('error', () => near.close());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    control,
    sessions: () => sessionsIn(frames, seatsIn(control)),
    async stop() {
      for (const socket of sockets.clients) socket.terminate();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function seatsIn(control: RecordingProxy['control']): Map<SessionId, SignedSeat> {
  const seats = control.flatMap(({ text }) => {
    const message = serverMessageSchema.safeParse(JSON.parse(text));
    if (!message.success || message.data.type !== 'seat') return [];
    const payload = new TextDecoder().decode(fromBase64(message.data.seat.payload));
    return [signedSeatSchema.parse(JSON.parse(payload))];
  });
  return new Map(seats.map((seat) => [seat.session, seat]));
}

function sessionsIn(frames: readonly Frame[], seats: ReadonlyMap<SessionId, SignedSeat>): Map<SessionId, SeenSession> {
  const channels = new Map<string, { pieces: number; reassembler: Reassembler }>();
  const sessions = new Map<SessionId, { seat: SignedSeat | null; messages: SeenMessage[] }>();
  for (const { from, bytes, atMs } of frames) {
    const frame = decodeRelayFrame(bytes);
    if (frame.op !== 'data') continue;
    const key = `${from} ${frame.peer} ${frame.channel}`;
    const channel = channels.get(key) ?? { pieces: 0, reassembler: new Reassembler() };
    channels.set(key, channel);
    channel.pieces += 1;
    const whole = channel.pieces <= HANDSHAKE_PIECES ? null : channel.reassembler.add(frame.piece);
    if (whole === null) continue;
    const message = decodePeerMessage(whole);
    const id = sessionOf(message);
    if (id === null) continue;
    const session = sessions.get(id) ?? { seat: seats.get(id) ?? null, messages: [] };
    sessions.set(id, session);
    session.messages.push({ from, other: frame.peer, message, atMs });
  }
  return sessions;
}
