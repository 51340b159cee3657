"""Bugs of the log, of the tables and of what leaves: E2 to E7, W1 to W6."""

from fuzz.planted.bug import APPLY, CHECKPOINT, COMMANDS, ENGINE, STORE, Planted

BUGS = (
    Planted(
        "skip_a_force",
        "W2",
        STORE,
        "            self.disk.write(write.changes)\n",
        "            if write.checkpoint is not None:\n"
        "                self.disk.write(write.changes)\n",
    ),
    Planted(
        "acknowledge_before_force",
        "E3",
        ENGINE,
        "step = Step(self._records, self._effects, self.state.lsn, seen)",
        "step = Step(self._records, self._effects, Lsn(self.state.lsn - len(self._records)), seen)",
    ),
    Planted(
        "boot_epoch_not_forced",
        "W6",
        STORE,
        "        self.commit(write)\n        self.committed(write)\n",
        "        self._prepared = self.proof\n        state.lsn = self.proof.lsn\n",
    ),
    Planted(
        "checkpoint_without_its_lsn",
        "W5",
        CHECKPOINT,
        "checkpoint = Checkpoint(proof.lsn, proof.digest, dict(self._sums))",
        "checkpoint = Checkpoint(self.lsn, proof.digest, dict(self._sums))",
    ),
    Planted(
        "entries_newer_than_the_checkpoint",
        "W5",
        STORE,
        "            self.disk.write(write.changes)\n",
        "            if write.checkpoint is not None:\n"
        "                rows = [row for row in write.changes if row[0] not in ('log', 'meta')]\n"
        "                self.disk.write(rows)\n"
        "            self.disk.write(write.changes)\n",
    ),
    Planted(
        "redo_from_the_wrong_lsn",
        "W5",
        "exchange/store/redo.py",
        "log_key(proof.lsn + 1)",
        "log_key(proof.lsn + 2)",
    ),
    Planted(
        "changed_entry_evicted",
        "E7",
        CHECKPOINT,
        "clean = (key for key in table if key not in table.dirty)",
        "clean = iter(table)",
    ),
    Planted(
        "idempotency_key_not_stored",
        "E7",
        APPLY,
        "state.client_keys.put((order.account, order.client_order_id), terms)",
        "state.client_keys[order.account, order.client_order_id] = terms",
    ),
    Planted(
        "idempotency_key_not_logged",
        "E7",
        COMMANDS,
        "        item.client_order_id,\n        first,\n",
        '        "",\n        first,\n',
    ),
    Planted(
        "rejection_not_logged",
        "E2",
        COMMANDS,
        "        decision.records.append(_rejected(soft, item, order_id))\n"
        "        decision.acknowledge.append(Acknowledge(item.ticket, order_id, item.wait_done))\n"
        "        return decision\n",
        '        return _answer(item.ticket, Refused("insufficient_funds", "too little"))\n',
    ),
    Planted(
        "failed_force_swallowed",
        "E4",
        STORE,
        "            self._has_failed = True\n            raise\n",
        "            pass\n",
    ),
    Planted(
        "chain_not_checked",
        "W4",
        "exchange/store/frames.py",
        "    if hasher.digest() != digest:\n",
        "    if not digest:\n",
        ("rotten",),
    ),
    Planted(
        "row_digest_not_checked",
        "W5",
        "exchange/store/tables.py",
        "        body = check_entry(self.name, key, sealed)\n",
        "        body = sealed[:-DIGEST_SIZE]\n",
        ("rotten",),
    ),
    Planted(
        "lmdb_does_not_sync",
        "W1",
        "exchange/store/lmdb_disk.py",
        "                readonly=is_read_only,\n",
        "                readonly=is_read_only,\n                sync=False,\n",
        ("tests/exchange/store/test_lmdb_disk.py",),
    ),
)
