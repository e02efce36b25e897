"""A story played into the local stack in accelerated time: what the monitor finds, and what not."""
