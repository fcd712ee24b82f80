// A full round of what a FastDFS client of npm offers, unmodified: node round.js CLIENT HOST PORT DIRECTORY
// Prints one line per operation that did what it should; the first that did not ends the round.
'use strict'

const assert = require('assert')
const crypto = require('crypto')
const fs = require('fs')
const path = require('path')
const { Writable } = require('stream')

const [name, host, port, directory] = process.argv.slice(2)
const Client = require(name)
const trackers = [{ host, port: Number(port) }]
const quiet = { log() {}, debug() {}, info() {}, warn() {}, error() {} }

// One face for both: promises.
function promising(client) {
    if (name === 'fdfs') return client
    const face = {}
    for (const verb of ['upload', 'download', 'del', 'setMetaData', 'getMetaData', 'getFileInfo'])
        face[verb] = (...words) => new Promise((resolve, reject) => {
            while (words.length > 0 && words[words.length - 1] === undefined) words.pop()
            client[verb](...words, (err, result) => (err ? reject(err) : resolve(result)))
        })
    return face
}

const client = promising(new Client({ trackers, timeout: 10000, defaultExt: 'bin', charset: 'utf8', logger: quiet }))

function random(size) {
    return size > 0 ? crypto.randomBytes(size) : Buffer.alloc(0)
}

function crc32(data) {
    let crc = -1
    for (const byte of data) {
        crc ^= byte
        for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1))
    }
    return (crc ^ -1) >>> 0
}

// In memory: fdfs-client calls back before a file's stream has written what it was given.
async function fetch(fileId, options) {
    const parts = []
    const target = new Writable({
        write(part, _, done) {
            parts.push(part)
            done()
        },
    })
    await client.download(fileId, Object.assign({ target }, options))
    return Buffer.concat(parts)
}

async function refused(promise) {
    try {
        await promise
    } catch (err) {
        return
    }
    assert.fail('that should have been refused')
}

const rounds = {
    async 'upload of a buffer, download'() {
        for (const size of [1, 100, 5000, 70000, 400000, 3000000]) {
            const data = random(size)
            const fileId = await client.upload(data, { ext: 'dat' })
            assert.ok(/^g1\/M00\/[0-9A-F]{2}\/[0-9A-F]{2}\/\S+\.dat$/.test(fileId), fileId)
            assert.ok((await fetch(fileId)).equals(data), `${size} bytes`)
        }
    },
    async 'upload of a file'() {
        const file = path.join(directory, 'picture.jpg')
        fs.writeFileSync(file, random(12345))
        const fileId = await client.upload(file)
        assert.ok(fileId.endsWith('.jpg'), fileId)
        assert.ok((await fetch(fileId)).equals(fs.readFileSync(file)))
    },
    async 'upload of a stream'() {
        const file = path.join(directory, 'stream')
        fs.writeFileSync(file, random(300000))
        const fileId = await client.upload(fs.createReadStream(file), { size: 300000, ext: 'bin' })
        assert.ok((await fetch(fileId)).equals(fs.readFileSync(file)))
    },
    async 'upload to a named group'() {
        assert.ok((await client.upload(random(10), { group: 'g1', ext: 'x' })).startsWith('g1/'))
        await refused(client.upload(random(10), { group: 'nobody', ext: 'x' }))
    },
    async 'download of a range'() {
        const data = random(100000)
        const fileId = await client.upload(data, { ext: 'bin' })
        assert.ok((await fetch(fileId, { offset: 5, bytes: 50000 })).equals(data.subarray(5, 50005)))
    },
    async 'file info'() {
        let data = random(5000)
        while (crc32(data) >= 2 ** 31) data = random(5000) // sign extended: more than a number can hold
        const info = await client.getFileInfo(await client.upload(data, { ext: 'bin' }))
        assert.strictEqual(Number(info.size), 5000)
        assert.strictEqual(info.addr, '127.0.0.1')
        assert.strictEqual(Number(info.crc32), crc32(data))
        assert.ok(Math.abs(Number(info.timestamp) - Date.now() / 1000) < 60)
    },
    async 'metadata: overwrite and merge'() {
        const fileId = await client.upload(random(100), { ext: 'jpg' })
        await client.setMetaData(fileId, { width: '100', height: '50' })
        assert.deepStrictEqual({ ...(await client.getMetaData(fileId)) }, { height: '50', width: '100' })
        await client.setMetaData(fileId, { width: '200' }, 'M')
        assert.deepStrictEqual({ ...(await client.getMetaData(fileId)) }, { height: '50', width: '200' })
        await client.setMetaData(fileId, { only: 'this' }, 'O')
        assert.deepStrictEqual({ ...(await client.getMetaData(fileId)) }, { only: 'this' })
    },
    async 'delete'() {
        const fileId = await client.upload(random(100), { ext: 'bin' })
        await client.del(fileId)
        await refused(client.getFileInfo(fileId))
        await refused(client.del(fileId))
    },
}

const more = {
    async 'appender: upload, append, modify'() {
        const fileId = await client.upload(Buffer.from('first '), { method: 'uploadAppender', ext: 'log' })
        await client.upload(Buffer.from('second'), { method: 'append', fileId })
        assert.strictEqual((await fetch(fileId)).toString(), 'first second')
        await client.upload(Buffer.from('SECOND'), { method: 'modify', fileId, offset: 6 })
        assert.strictEqual((await fetch(fileId)).toString(), 'first SECOND')
    },
    // This client expects the records of FastDFS 4 (105 and 600 bytes); 6.x sends 113 and 487, and so do we.
    async 'lists in the form of FastDFS 6 are understood as such'() {
        await assert.rejects(client.listGroups(), (err) => /length:\s?113 /.test(String(err)))
        await assert.rejects(client.listStorages('g1'), (err) => /length:\s?487 /.test(String(err)))
    },
}

async function main() {
    if (name === 'fdfs') Object.assign(rounds, more)
    for (const [what, round] of Object.entries(rounds)) {
        await round()
        console.log(what)
    }
    process.exit(0) // the clients leave connections open
}

main().catch((err) => {
    console.error(err)
    process.exit(1)
})
