/** A message socket as the control client needs it: the WebSocket of browsers and that of `ws`, made alike. */
export interface Socket {
  /** Throws if the socket is not open. */
  send(message: string | Uint8Array<ArrayBuffer>): void;
  close(): void;
  /** Bytes handed over that have not left yet. */
  readonly bufferedBytes: number;
  onOpen: () => void;
  onMessage: (message: string | Uint8Array<ArrayBuffer>) => void;
  /** Called once, also where the socket never opened. */
  onClose: (reason: string) => void;
}

/** The members that browsers' WebSocket and `ws` have in common. */
export interface WebSocketLike {
  binaryType: string;
  readonly readyState: number;
  readonly bufferedAmount: number;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(): void;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
}

const OPEN = 1;

/** Wraps a WebSocket that has just been made. Its close is always reported, with the other end's reason if it gave one. */
export function adaptWebSocket(webSocket: WebSocketLike): Socket {
  webSocket.binaryType = 'arraybuffer';
  const socket: Socket = {
    send: (message) => {
      if (webSocket.readyState !== OPEN) throw new Error('the socket is not open');
      webSocket.send(message);
    },
    close: () => webSocket.close(),
    get bufferedBytes() {
      return webSocket.bufferedAmount;
    },
    onOpen: () => {},
    onMessage: () => {},
    onClose: () => {},
  };
  webSocket.onopen = () => socket.onOpen();
  webSocket.onmessage = (event: { data: unknown }) => {
    const { data } = event;
    if (typeof data === 'string') socket.onMessage(data);
    else if (data instanceof ArrayBuffer) socket.onMessage(new Uint8Array(data));
  };
  // What a platform says of errors is in its own words, and its close follows.
  webSocket.onerror = () => undefined;
  webSocket.onclose = ({ reason }: { reason?: unknown }) => {
    socket.onClose(typeof reason === 'string' && reason !== '' ? reason : 'the connection broke off');
  };
  return socket;
}
