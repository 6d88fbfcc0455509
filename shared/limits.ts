/** Sizes, counts and times that both ends of a boundary must agree on. Units are in the names. */

const KIB = 1024;
const MIB = 1024 * KIB;

export const PROTOCOL_VERSION = 1;

/** Positions that are checked together (design: a chunk). */
export const CHUNK_POSITIONS = 32;
/** Candidates the last stage returns for each position, with the log-sum-exp of all of them. */
export const TOP_K = 64;

/** One piece on a data channel or the relay. SCTP messages up to 16 KiB pass every browser unfragmented by interleaving. */
export const MAX_PIECE_BYTES = 16 * KIB;
/** One reassembled peer message: a chunk of 32 rows at hidden size 16,384 in f32 is 2 MiB. */
export const MAX_PEER_MESSAGE_BYTES = 4 * MIB;
/** Unfinished messages one link may hold at once. */
export const MAX_OPEN_MESSAGES = 16;
/** Bytes a link may have handed to its channel and not seen leave; senders wait above it. */
export const LINK_WINDOW_BYTES = 1 * MIB;
/** One JSON message on the control socket. */
export const MAX_CONTROL_MESSAGE_BYTES = 64 * KIB;

/** One piece of a blob; each has its own digest in the manifest. */
export const BLOB_PIECE_BYTES = 1 * MIB;
export const MAX_BLOB_BYTES = 2 * 1024 * MIB;
export const MAX_MANIFEST_BYTES = 8 * MIB;
export const MAX_LAYERS = 256;
export const MAX_POSITIONS = 131_072;
export const MAX_STAGES = 64;
export const MAX_SHADOWS = 4;

export const HANDSHAKE_TIMEOUT_MS = 5_000;
/** After this long without a data channel the relay takes over. */
export const WEBRTC_TIMEOUT_MS = 5_000;
export const HEARTBEAT_MS = 2_000;
/** Silence after which the server takes a volunteer for gone. */
export const HEARTBEAT_TIMEOUT_MS = 8_000;
export const LINK_PING_MS = 2_000;
export const LINK_PING_TIMEOUT_MS = 6_000;
/** A session that has been silent this long is closed and its KV given back. */
export const SESSION_IDLE_MS = 120_000;
/** How long a route may be used at all. */
export const SESSION_LEASE_MS = 15 * 60_000;
/** How long a requester waits for one lap round the route before it asks for another route. */
export const LAP_TIMEOUT_MS = 20_000;
export const ROUTE_TIMEOUT_MS = 60_000;
/** A stage may have to build shaders or fold weights for a new session. */
export const OPEN_TIMEOUT_MS = 20_000;
