-- Records of calls that go on: few, and looked for at each start.
CREATE INDEX history_under_way ON history (call) WHERE cause = '';
