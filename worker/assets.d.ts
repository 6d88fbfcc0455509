/** What the bundler makes of an asset: its address. */
declare module '*?url' {
  const url: string;
  export default url;
}
