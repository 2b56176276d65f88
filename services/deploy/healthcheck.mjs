/** For the image's HEALTHCHECK: asks /healthz where PROCLABEL_METRICS_ADDRESS says. Exit status 0 alive, 1 stalled or gone. */
import process from 'node:process'

const address = process.env.PROCLABEL_METRICS_ADDRESS
// A command that serves nothing is alive while it runs.
if (!address) process.exit(0)
const [, host, port] = /^(.*):(\d+)$/.exec(address) ?? []
const everyAddress = ['', '0.0.0.0', '[::]'].includes(host)
try {
  const answer = await fetch(`http://${everyAddress ? '127.0.0.1' : host}:${port}/healthz`, {
    signal: AbortSignal.timeout(4000),
  })
  if (answer.ok) process.exit(0)
  process.stderr.write(await answer.text())
} catch (error) {
  process.stderr.write(`${address} does not answer: ${error.cause?.message ?? error.message}\n`)
}
process.exit(1)
