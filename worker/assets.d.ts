/** An asset as the bundler gives it: its address. */
declare module '*?url' {
  const url: string;
  export default url;
}

interface ImportMeta {
  /** Set by the bundler; absent in Node. */
  readonly env: { readonly PROD: boolean };
}
